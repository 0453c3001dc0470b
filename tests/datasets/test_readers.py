"""Readers return exactly the frames asked for, and name what is wrong with a file."""

import pickle
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from tests import media
from vlpeft.datasets.readers import ClipError, ClipInfo, DecordReader, ImageReader, PyAVReader
from vlpeft.registry import READERS

READER_TYPES = ['DecordReader', 'PyAVReader']
FRAMES = media.numbered_frames(60)


def cut_without_encoding(source, target, first):
    """Cut a file by copying packets, as ``ffmpeg -ss -c copy`` does: an edit list hides the frames before ``first``."""
    with av.open(str(source)) as reading, av.open(str(target), 'w') as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        offset = int(first / stream.average_rate / stream.time_base)
        for packet in reading.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, copy
                writing.mux(packet)


def make(folder, kind):
    """A file of the kind and the numbers of the frames it shows."""
    short_gops = dict(g='12', bf='2')
    if kind == 'edit list':
        cut_without_encoding(media.write_video(folder / 'source.mp4', FRAMES, options=short_gops), folder / 'e.mp4', 5)
        return str(folder / 'e.mp4'), list(range(5, 60))
    made = {
        'h264': lambda: media.write_video(folder / 'a.mp4', FRAMES),
        'h264 short gops, audio': lambda: media.write_video(folder / 'b.mp4', FRAMES, audio=True, options=short_gops),
        'h264 open gops': lambda: media.write_video(
            folder / 'c.mp4', FRAMES, options={'bf': '3', 'x264-params': 'open-gop=1:keyint=12:min-keyint=12'}
        ),
        'h264 variable rate': lambda: media.write_video(
            folder / 'd.mp4', FRAMES, pts=np.cumsum([1 + number % 3 for number in range(60)]).tolist()
        ),
        'h264 ntsc, mkv': lambda: media.write_video(folder / 'e.mkv', FRAMES, fps=Fraction(30000, 1001)),
        'mpeg4 b-frames': lambda: media.write_video(folder / 'f.mp4', FRAMES, codec='mpeg4', options=short_gops),
        'mpeg4 b-frames, avi': lambda: media.write_video(folder / 'g.avi', FRAMES, codec='mpeg4', options=short_gops),
        'transport stream': lambda: media.write_video(folder / 'h.ts', FRAMES, options=short_gops),
        'one frame': lambda: media.write_video(folder / 'i.mp4', FRAMES[:1]),
    }
    return made[kind](), [0] if kind == 'one frame' else list(range(60))


KINDS = [
    'h264',
    'h264 short gops, audio',
    'h264 open gops',
    'h264 variable rate',
    'h264 ntsc, mkv',
    'mpeg4 b-frames',
    'mpeg4 b-frames, avi',
    'transport stream',
    'edit list',
    'one frame',
]


@pytest.mark.parametrize('kind', KINDS)
def test_every_reader_returns_exactly_the_frames_asked_for(tmp_path, kind):
    path, shown = make(tmp_path, kind)
    draws = np.random.default_rng(0)
    decord, pyav = DecordReader(), PyAVReader()
    assert decord.probe(path) == pyav.probe(path)
    assert pyav.probe(path).num_frames == len(shown)
    for indices in [[0], [len(shown) - 1, 0, 0], *(draws.integers(len(shown), size=8).tolist() for _ in range(6))]:
        frames = decord.read(path, indices)
        assert frames.dtype == np.uint8 and frames.shape == (len(indices), *FRAMES.shape[1:])
        assert [media.frame_number(frame) for frame in frames] == [shown[index] for index in indices]
        np.testing.assert_array_equal(frames, pyav.read(path, indices))


def test_ordinary_h264_goes_through_decord_and_odd_files_do_not(tmp_path):
    exact = {kind: DecordReader().index(make(tmp_path, kind)[0]).decord_exact for kind in KINDS}
    assert [kind for kind in KINDS if exact[kind]] == [
        'h264',
        'h264 short gops, audio',
        'h264 variable rate',
        'one frame',
    ]


@pytest.mark.parametrize('reader', READER_TYPES)
def test_probe_gives_the_frame_rate(tmp_path, reader):
    path = media.write_video(tmp_path / 'a.mp4', FRAMES[:12], fps=25)
    info = READERS.build(dict(type=reader)).probe(path)
    assert (info.num_frames, info.fps, info.duration) == (12, pytest.approx(25.0), pytest.approx(12 / 25))


@pytest.mark.parametrize('degrees', [90, 180, -90])
def test_turned_clips_come_upright_from_every_reader(tmp_path, degrees):
    path = str(tmp_path / 'turned.mp4')
    with av.open(path, 'w') as container:
        stream = container.add_stream('libx264', rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 80, 'yuv420p'
        stream.set_display_rotation(degrees)
        for frame in FRAMES[:4]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())
    plain = PyAVReader().read(media.write_video(tmp_path / 'plain.mp4', FRAMES[:4]), [0, 2])
    for reader in (DecordReader(), PyAVReader()):
        np.testing.assert_array_equal(reader.read(path, [0, 2]), np.rot90(plain, degrees // 90, axes=(1, 2)))


def broken(folder, kind):
    path = folder / 'broken.mp4'
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 80, 3), dtype=np.uint8)
    if kind == 'audio only':
        media.write_audio_only(path)
    elif kind == 'zero frames':
        media.write_zero_frames(path)
    elif kind == 'truncated':
        media.write_truncated(path, noise)
    elif kind == 'truncated, index lost':
        media.write_truncated(path, noise, faststart=False)
    elif kind == 'empty':
        path.touch()
    elif kind == 'not a video':
        path.write_text('<html>404</html>' * 100)
    elif kind == 'folder':
        path.mkdir()
    return str(path)


@pytest.mark.parametrize('reader', READER_TYPES)
@pytest.mark.parametrize(
    'kind, reason',
    [
        ('missing', 'no such file'),
        ('folder', 'no such file'),
        ('empty', 'the file is empty'),
        ('not a video', 'not a readable video'),
        ('truncated', 'truncated'),
        ('truncated, index lost', 'truncated'),
        ('zero frames', 'no video frames'),
        ('audio only', 'audio-only, no video track'),
    ],
)
def test_a_broken_file_is_a_clip_error_with_path_and_reason(tmp_path, reader, kind, reason):
    path = broken(tmp_path, kind)
    for use in (
        lambda: READERS.build(dict(type=reader)).probe(path),
        lambda: READERS.build(dict(type=reader)).read(path, [0]),
    ):
        with pytest.raises(ClipError, match=reason) as caught:
            use()
        assert caught.value.path == path and path in str(caught.value)


@pytest.mark.parametrize('reader', READER_TYPES)
def test_damage_inside_the_video_is_a_clip_error(tmp_path, reader):
    path = tmp_path / 'a.mp4'
    media.write_video(path, FRAMES)
    data = bytearray(path.read_bytes())
    start = data.find(b'mdat') + 4
    data[start + 200 : start + 3000] = bytes(2800)
    path.write_bytes(data)
    reading = READERS.build(dict(type=reader))
    assert reading.probe(str(path)).num_frames == 60
    with pytest.raises(ClipError, match='damaged'):
        reading.read(str(path), list(range(60)))


@pytest.mark.parametrize('reader', READER_TYPES)
def test_an_index_outside_the_clip_is_an_error(tmp_path, reader):
    path = media.write_video(tmp_path / 'a.mp4', FRAMES[:5])
    for index in (5, -1):
        with pytest.raises(IndexError, match=r'valid: 0\.\.4'):
            READERS.build(dict(type=reader)).read(path, [0, index])


def test_a_replaced_file_is_probed_again(tmp_path):
    reader = DecordReader()
    path = media.write_video(tmp_path / 'a.mp4', FRAMES[:5])
    assert reader.probe(path).num_frames == 5
    media.write_video(tmp_path / 'a.mp4', FRAMES[:9])
    assert reader.probe(path).num_frames == 9


def test_image_reader_reads_one_frame_upright(tmp_path):
    path = media.write_image(tmp_path / 'a.png', size=(20, 30))
    reader = ImageReader()
    pixels = np.asarray(Image.open(path))
    assert reader.probe(path) == ClipInfo(1, 0.0)
    np.testing.assert_array_equal(reader.read(path, [0, 0]), np.stack([pixels, pixels]))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / 'turned.png', exif=exif)
    np.testing.assert_array_equal(reader.read(str(tmp_path / 'turned.png'), [0])[0], np.rot90(pixels, -1))


@pytest.mark.parametrize(
    'content, reason',
    [(None, 'no such file'), (b'', 'empty'), (b'hello', 'not a readable image'), ('cut', 'truncated')],
)
def test_a_broken_image_is_a_clip_error(tmp_path, content, reason):
    path = tmp_path / 'a.jpg'
    if content == 'cut':
        media.write_image(path)
        content = path.read_bytes()[:800]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ClipError, match=reason):
        ImageReader().read(str(path), [0])


def test_clip_error_survives_pickling_and_the_one_argument_form_of_the_data_loader():
    error = pickle.loads(pickle.dumps(ClipError('a.mp4', 'no such file')))
    assert (error.path, error.reason, str(error)) == ('a.mp4', 'no such file', 'cannot use a.mp4: no such file')
    assert str(ClipError('Caught ClipError in worker')) == 'Caught ClipError in worker'


def test_importing_the_datasets_loads_no_media_library():
    code = "import sys, vlpeft.datasets; print([name for name in ('av', 'decord', 'h5py') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, '-c', code], text=True).strip() == '[]'
