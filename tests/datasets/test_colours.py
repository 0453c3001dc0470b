"""Pictures of more than 8 bits, with transparency or several frames: scaled by their type or refused, never clipped."""

import json
import struct

import numpy as np
import pytest
from PIL import Image

from tests import media
from vlpeft.datasets import ClipError
from vlpeft.datasets.readers import ImageReader
from vlpeft.registry import DATASETS, TRANSFORMS

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
GREY = np.repeat((RAMP // 256).astype(np.uint8)[..., None], 3, axis=2)


def write_tiff(path, array, sample_format, photometric=1):
    """A plain TIFF; formats: 1 unsigned, 2 signed, 3 float. Written out, for PIL makes all of 32 bits signed."""
    height, width = array.shape
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8 * array.itemsize),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, array.nbytes),
        (339, 3, sample_format),
    ]
    entries = b''.join(struct.pack('<HHII', tag, kind, 1, value) for tag, kind, value in tags)
    path.write_bytes(
        b'II*\0'
        + struct.pack('<I', 8 + array.nbytes)
        + array.tobytes()
        + struct.pack('<H', len(tags))
        + entries
        + bytes(4)
    )


def write_png_of_16_bit_colours(path, array):
    import av

    with av.open(str(path), 'w', format='image2') as container:
        stream = container.add_stream('png')
        stream.height, stream.width, stream.pix_fmt = *array.shape[:2], 'rgb48be'
        container.mux([*stream.encode(av.VideoFrame.from_ndarray(array, format='rgb48be')), *stream.encode()])


def read(path, **kwargs):
    return ImageReader(**kwargs).read(str(path), [0])[0]


WRITERS = {
    'a.png': lambda path: Image.fromarray(RAMP).save(path),
    'a.tif': lambda path: Image.fromarray(RAMP).save(path),
    'a.jp2': lambda path: Image.fromarray(RAMP).save(path, irreversible=False),
    'big endian.tif': lambda path: Image.fromarray(RAMP.astype('>u2')).save(path),
    'a.pgm': lambda path: path.write_bytes(b'P5 256 256 65535\n' + RAMP.astype('>u2').tobytes()),
    'white is zero.tif': lambda path: write_tiff(path, 65535 - RAMP, 1, photometric=0),
    '32 bits.tif': lambda path: write_tiff(path, RAMP.astype('<u4') << 16, 1),
    'colours.png': lambda path: write_png_of_16_bit_colours(path, np.repeat(RAMP[..., None], 3, axis=2)),
}


@pytest.mark.parametrize('name', WRITERS)
def test_wide_integers_keep_their_high_bits(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    np.testing.assert_array_equal(read(path), GREY)


@pytest.mark.parametrize('name', ['a.tif', 'a.pfm'])
def test_floats_from_0_to_1_are_black_to_white(tmp_path, name):
    values = (RAMP / 65535).astype('<f4')
    if name.endswith('tif'):
        Image.fromarray(values).save(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b'Pf\n256 256\n-1.0\n' + values[::-1].tobytes())
    expected = np.floor(values.astype(np.float64) * 255 + 0.5)
    assert np.abs(read(tmp_path / name) - expected[..., None]).max() == 0


@pytest.mark.parametrize(
    'values, sample_format, reason',
    [
        (RAMP.astype('<i4'), 2, 'signed integers from 0 to 65535'),
        ((RAMP // 2).astype('<i2'), 2, 'signed integers from 0 to 32767'),
        (-RAMP.astype('<i4'), 2, 'from -65535 to 0'),
        (RAMP.astype('<f4'), 3, r'floats from 0 to 65535, expected 0 \(black\)'),
        (RAMP / np.float32(65535) - np.float32(0.5), 3, 'floats from -0.5 to 0.5'),
        (np.where(RAMP == 7, np.nan, RAMP / 65535).astype('<f4'), 3, '1 of 65,536 pixels are NaN'),
        ((RAMP / 65535).astype('<f8'), 3, 'not a readable image'),
    ],
)
def test_numbers_without_an_agreed_scale_are_refused(tmp_path, values, sample_format, reason):
    path = tmp_path / 'a.tif'
    write_tiff(path, values, sample_format)
    with pytest.raises(ClipError, match=reason) as caught:
        read(path)
    assert caught.value.path == str(path)


def transparent(folder, name):
    """8 × 8 pixels: the left half invisible (and red), the right half blue, of row 0 a fifth visible if that can be."""
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4], pixels[:, 4:] = (255, 0, 0, 0), (0, 0, 255, 255)
    if name in ('rgba.png', 'rgba.webp'):
        pixels[0, 4:, 3] = 51
        Image.fromarray(pixels).save(folder / name, **(dict(lossless=True, exact=True) if 'webp' in name else {}))
    elif name == 'palette.png':
        Image.fromarray(pixels[..., :3]).convert('P', palette=Image.Palette.ADAPTIVE).save(folder / name)
        with Image.open(folder / name) as image:
            index, copy = image.getpixel((0, 0)), image.copy()
        copy.save(folder / name, transparency=index)
    elif name == 'key.png':
        Image.fromarray(pixels[..., :3]).save(folder / name, transparency=(255, 0, 0))
    return folder / name


@pytest.mark.parametrize('name', ['rgba.png', 'rgba.webp', 'palette.png', 'key.png'])
@pytest.mark.parametrize('background', [(255, 255, 255), (0, 128, 10), None])
def test_what_is_behind_transparent_pixels_is_an_option(tmp_path, name, background):
    pixels = read(transparent(tmp_path, name), background=background)
    hidden = (255, 0, 0) if background is None else background
    assert (pixels[:, :4] == hidden).all() and (pixels[1:, 4:] == (0, 0, 255)).all()
    if name.startswith('rgba') and background is not None:
        blend = np.array(background) * 0.8 + np.array([0, 0, 51])
        assert np.abs(pixels[0, 4:] - blend).max() <= 1


def test_the_default_is_white_and_the_steps_of_pipelines_take_another(tmp_path):
    path = str(transparent(tmp_path, 'rgba.png'))
    assert (read(path)[:, :4] == 255).all()
    black = dict(type='ImageReader', background=(0, 0, 0))
    for step in (dict(type='LoadClip', image_reader=black), dict(type='LoadImages', size=8, reader=black)):
        results = TRANSFORMS.build(step).transform(dict(path=path, media='image'))
        assert not results.get('clip', results.get('features'))[..., :4].any()
    for wrong in ((255, 255), (0, 0, 256), 'white', (0.5, 0.5, 0.5)):
        with pytest.raises(ValueError, match='three integers from 0 to 255'):
            ImageReader(background=wrong)


def test_a_grey_key_of_16_bits_is_transparent(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / 'a.png', transparency=0x1234)
    with Image.open(tmp_path / 'a.png') as image:
        assert image.info['transparency'] == 0x1234
    expected = GREY.copy()
    expected[RAMP == 0x1234] = (0, 99, 0)
    np.testing.assert_array_equal(read(tmp_path / 'a.png', background=(0, 99, 0)), expected)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_wide_pictures_come_upright_too(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    narrow = Image.fromarray((RAMP[:64] // 256).astype(np.uint8))
    narrow.save(tmp_path / 'narrow.png', exif=exif)
    Image.fromarray(RAMP[:64]).save(tmp_path / 'wide.png', exif=exif)
    np.testing.assert_array_equal(read(tmp_path / 'wide.png'), read(tmp_path / 'narrow.png'))


@pytest.mark.parametrize('name', ['a.webp', 'a.gif', 'a.png'])
def test_of_an_animated_picture_the_first_frame_is_read(tmp_path, name):
    frames = [Image.fromarray(frame) for frame in media.numbered_frames(9)[5:]]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
    with Image.open(tmp_path / name) as image:
        assert image.n_frames == 4
    assert media.frame_number(read(tmp_path / name)) == 5


def claims_too_many_pixels(path):
    """A PNG whose head promises 2 · 10⁹ pixels."""
    import zlib

    head = b'IHDR' + struct.pack('>IIBBBBB', 50000, 40000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + struct.pack('>I', 13)
        + head
        + struct.pack('>I', zlib.crc32(head))
        + struct.pack('>I', 0)
        + b'IDAT'
        + struct.pack('>I', zlib.crc32(b'IDAT'))
    )
    return str(path)


def test_a_decompression_bomb_is_an_unreadable_sample_also_while_one_is_replaced(tmp_path):
    """Every other file is one, so that bombs are met among the replacements, too."""
    lines = []
    for number in range(12):
        path = tmp_path / f'{number}.png'
        claims_too_many_pixels(path) if number % 2 else media.write_image(path)
        lines.append(json.dumps(dict(image=path.name, caption='a')) + '\n')
    (tmp_path / 'a.jsonl').write_text(''.join(lines))
    with pytest.raises(ClipError, match='not a readable image, or truncated .DecompressionBombError') as caught:
        read(tmp_path / '1.png')
    assert caught.value.path == str(tmp_path / '1.png')
    for options in (dict(max_unreadable=1), dict(test_mode=True, skip_unreadable=True)):
        dataset = DATASETS.build(
            dict(
                type='JSONLRetrieval',
                ann_file=str(tmp_path / 'a.jsonl'),
                pipeline=[dict(type='LoadClip'), dict(type='PackSample')],
                **options,
            )
        )
        items = [dataset[index] for index in range(12)]
        assert all(item['inputs'].shape == items[0]['inputs'].shape for item in items)
        assert len(dataset.unreadable.reasons) == 6
        assert all('DecompressionBombError' in reason for reason in dataset.unreadable.reasons.values())
