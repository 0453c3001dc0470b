"""Whatever a decoding library raises becomes an unreadable sample with its file and a reason."""

import io
import json
import struct
import zipfile

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from tests import media
from tests.sounds import write_sound
from vlpeft.datasets import ClipError
from vlpeft.datasets.readers import (
    AudioReader,
    DecordReader,
    HDF5Reader,
    ImageReader,
    NPZReader,
    PackedHDF5Reader,
    PyAVReader,
)
from vlpeft.datasets.readers.base import check_finite, decoding
from vlpeft.datasets.transforms import Fbank, LoadAudio, LoadFeatures
from vlpeft.registry import DATASETS

SIZE = (4, 6)


@pytest.mark.parametrize(
    'error, detail',
    [
        (KeyError('exif'), "KeyError: 'exif'"),
        (UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid'), "'utf-8' codec"),
        (AttributeError('no tile'), 'AttributeError: no tile'),
        (MemoryError(), 'MemoryError'),
        (RecursionError('deep'), 'deep'),
        (OSError(5, 'Input/output error'), 'Input/output error'),
        (Image.DecompressionBombError('too large'), 'DecompressionBombError: too large'),
        (struct.error('unpack requires'), 'unpack requires'),
        (EOFError(), 'EOFError'),
        (AssertionError(), 'AssertionError'),
    ],
)
def test_every_exception_becomes_a_clip_error(error, detail):
    with pytest.raises(ClipError) as caught:
        with decoding('a.xyz', 'not readable'):
            raise error
    assert caught.value.path == 'a.xyz' and detail in caught.value.reason
    assert caught.value.reason.startswith('not readable (')
    assert caught.value.__cause__ is error


def test_what_is_no_fault_of_the_file_is_passed_on():
    for error in (ClipError('b', 'known'), ImportError('av'), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            with decoding('a', 'not readable'):
                raise error
        assert caught.value is error


def damaged(data, draws):
    """A file with some bytes changed, a stretch overwritten, or its end missing."""
    data = bytearray(data)
    kind = draws.integers(4)
    if kind == 0:
        return bytes(data[: draws.integers(1, len(data))])
    start = int(draws.integers(len(data)))
    if kind == 1:
        data[start : start + 64] = draws.integers(0, 256, len(data[start : start + 64]), dtype=np.uint8).tobytes()
    else:
        for place in draws.integers(0, min(len(data), 400 if kind == 2 else len(data)), size=12):
            data[place] = draws.integers(256)
    return bytes(data)


def picture_files():
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, 'a text', {0x9286: b'more'}
    for name, options in (
        ('jpeg', dict(exif=exif)),
        ('png', dict(exif=exif)),
        ('tiff', dict(compression='tiff_lzw')),
        ('tiff', {}),
        ('webp', dict(exif=exif)),
        ('gif', {}),
        ('bmp', {}),
        ('ppm', {}),
        ('jpeg2000', {}),
    ):
        buffer = io.BytesIO()
        pixels.save(buffer, format=name, **options)
        yield name, buffer.getvalue()


def count_outcomes(use, path, cases):
    """Use each damaged content; anything but a result and a :class:`ClipError` of this path ends the test."""
    outcomes = dict(read=0, refused=0)
    for content in cases:
        path.write_bytes(content)
        try:
            use(str(path))
            outcomes['read'] += 1
        except ClipError as error:
            assert error.path == str(path) and error.reason
            outcomes['refused'] += 1
    return outcomes


@pytest.mark.filterwarnings('ignore')
def test_damaged_pictures_are_read_or_refused(tmp_path):
    draws = np.random.default_rng(1)
    cases = [damaged(data, draws) for _, data in picture_files() for _ in range(60)]
    outcomes = count_outcomes(lambda path: ImageReader().read(path, [0]), tmp_path / 'a.img', cases)
    assert outcomes['refused'] > 100


def test_damaged_features_are_read_or_refused(tmp_path):
    draws = np.random.default_rng(2)
    values = draws.standard_normal(SIZE).astype(np.float16)
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['a/features'] = values
    with h5py.File(tmp_path / 'packed', 'w') as file:
        file['features'], file['names'], file['done'] = values[None], [b'a'], np.ones(1, np.uint8)
    np.savez_compressed(tmp_path / 'a.npz', features=values)
    for name, use in [
        ('a.h5', lambda path: HDF5Reader(str(tmp_path)).read('a')),
        ('a.npz', lambda path: NPZReader(str(tmp_path)).read('a')),
    ]:
        data = (tmp_path / name).read_bytes()
        assert count_outcomes(use, tmp_path / name, [damaged(data, draws) for _ in range(300)])['refused'] > 50
    data = (tmp_path / 'packed').read_bytes()
    for number in range(300):
        path = tmp_path / f'packed{number}'
        path.write_bytes(damaged(data, draws))
        try:
            PackedHDF5Reader(str(path)).read('a')
        except ClipError as error:
            assert error.path.startswith(str(path))


def test_damaged_sounds_are_read_or_refused(tmp_path):
    draws = np.random.default_rng(3)
    wave = 0.3 * np.sin(np.arange(8000) / 5)
    for suffix in ('wav', 'flac', 'ogg', 'mp3'):
        data = open(write_sound(tmp_path / f'a.{suffix}', wave), 'rb').read()
        count_outcomes(AudioReader().read, tmp_path / f'a.{suffix}', [damaged(data, draws) for _ in range(40)])


def test_damaged_videos_are_read_or_refused(tmp_path):
    draws = np.random.default_rng(4)
    frames = media.numbered_frames(12)

    def use(path, reader):
        reader.read(path, [0, reader.probe(path).num_frames - 1])

    for name, codec in (
        ('a.mp4', 'libx264'),
        ('a.mkv', 'libx264'),
        ('a.avi', 'mpeg4'),
        ('a.ts', 'libx264'),
        ('a.flv', 'flv'),
    ):
        data = open(media.write_video(tmp_path / name, frames, codec=codec), 'rb').read()
        for reader in (PyAVReader, DecordReader):
            count_outcomes(lambda path: use(path, reader()), tmp_path / name, [damaged(data, draws) for _ in range(20)])


def npy_that_claims(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, dict(descr='<f4', fortran_order=False, shape=shape))
    return buffer.getvalue() + bytes(64)


def test_claimed_sizes_are_refused_before_memory_is_taken(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.npz', 'w') as archive:
        archive.writestr('features.npy', npy_that_claims((1 << 20, 1 << 18)))
    with h5py.File(tmp_path / 'a.h5', 'w') as file:  # chunks that were never written: fill values only
        file.create_dataset('a/features', (1 << 20, 1 << 18), 'f4', chunks=(64, 64))
    for reader in (NPZReader(str(tmp_path)), HDF5Reader(str(tmp_path))):
        with pytest.raises(ClipError, match='features claim 1,024.0 GiB, more than 1'):
            reader.read('a')


def test_big_endian_features_are_read_and_wider_floats_refused(tmp_path):
    values = np.random.default_rng(0).standard_normal((1, *SIZE)).astype('>f4')
    np.savez(tmp_path / 'a.npz', features=values[0])
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['a/features'] = values[0]
    with h5py.File(tmp_path / 'packed', 'w') as file:
        file['features'], file['names'], file['done'] = values, [b'a'], np.ones(1, np.uint8)
    for reader in (
        dict(type='NPZReader', root=str(tmp_path)),
        dict(type='HDF5Reader', root=str(tmp_path)),
        dict(type='PackedHDF5Reader', file=str(tmp_path / 'packed')),
    ):
        features = LoadFeatures(reader).transform(dict(name='a'))['features']
        assert torch.equal(features, torch.from_numpy(values.astype('<f4')))
    np.savez(tmp_path / 'a.npz', features=values[0].astype(np.longdouble))
    with pytest.raises(ClipError, match='expected floats'):
        NPZReader(str(tmp_path)).read('a')


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64, '>f2', '>f4'])
@pytest.mark.parametrize('wrong', [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_unreadable(tmp_path, dtype, wrong):
    values = np.random.default_rng(0).standard_normal(SIZE).astype(dtype)
    values[2, 3] = wrong
    np.savez(tmp_path / 'a.npz', features=values)
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['a/features'] = values
    with h5py.File(tmp_path / 'packed', 'w') as file:
        file['features'], file['names'], file['done'] = values[None], [b'a'], np.ones(1, np.uint8)
    for reader in (NPZReader(str(tmp_path)), HDF5Reader(str(tmp_path)), PackedHDF5Reader(str(tmp_path / 'packed'))):
        with pytest.raises(ClipError, match='1 of 24 features are NaN or infinite'):
            reader.read('a')


def test_half_floats_are_judged_as_numpy_does():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    for part in np.split(every, 64):
        if np.isfinite(part).all():
            check_finite('a', part, 'values')
        else:
            with pytest.raises(ClipError, match=f'^cannot use a: {(~np.isfinite(part)).sum():,} of 1,024 values'):
                check_finite('a', part, 'values')


@pytest.mark.parametrize('wrong', [np.nan, np.inf])
def test_sounds_that_are_not_finite_are_unreadable(tmp_path, wrong):
    wave = np.zeros(8000)
    wave[4000] = wrong
    path = write_sound(tmp_path / 'a.wav', wave, subtype='FLOAT')
    for sample_rate in (None, 16000, 8000):
        with pytest.raises(ClipError, match='1 of 8,000 samples are NaN or infinite'):
            AudioReader(sample_rate).read(path)
    assert len(AudioReader(None).read(path, 0, 0.2)[0])  # the part before it


def test_sounds_whose_energies_overflow_are_unreadable(tmp_path):
    path = write_sound(tmp_path / 'a.wav', 1e25 * np.sin(np.arange(16000) / 5), subtype='FLOAT')
    loud = LoadAudio().transform(dict(path=path))
    with pytest.raises(ClipError, match=r'its samples reach 1e\+25, the energies overflow') as caught:
        Fbank().transform(loud)
    assert caught.value.path == path


def test_an_unreadable_sound_is_replaced_like_any_other(tmp_path):
    wave = 0.1 * np.sin(np.arange(16000) / 5)
    for number in range(5):
        write_sound(tmp_path / f'{number}.wav', wave * {3: 1e25, 4: np.nan}.get(number, 1), subtype='FLOAT')
    lines = [json.dumps(dict(audio=f'{number}.wav', caption='a tone')) + '\n' for number in range(5)]
    (tmp_path / 'a.jsonl').write_text(''.join(lines))
    steps = [
        dict(type='LoadAudio'),
        dict(type='Fbank'),
        dict(type='DrawTarget'),
        dict(type='ComposeText', template=''),
        dict(type='PackSample', task='caption'),
    ]
    dataset = DATASETS.build(dict(type='JSONLCaption', ann_file=str(tmp_path / 'a.jsonl'), pipeline=steps))
    assert all(torch.isfinite(dataset[index]['inputs']).all() for index in range(5))
    assert sorted(dataset.unreadable.reasons) == [str(tmp_path / '3.wav'), str(tmp_path / '4.wav')]
