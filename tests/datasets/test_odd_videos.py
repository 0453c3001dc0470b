"""Videos as phones, editors and broken downloads make them: varying rates, mirrors, covers, shared times, cut files."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from tests import media
from vlpeft.datasets.readers import AudioReader, ClipError, DecordReader, PyAVReader
from vlpeft.datasets.transforms import LoadClip

READERS = [DecordReader, PyAVReader]
FRAMES = media.numbered_frames(60)
# 12 frames at 1 a second, then 12 at 24 a second.
VARYING = [*range(12), *(12 + Fraction(k, 24) for k in range(12))]


def write_varying(path):
    return media.write_video(path, FRAMES[:24], fps=24, pts=[int(24 * time) for time in VARYING])


def load(path, start, end, reader, num_frames=24):
    step = LoadClip(num_frames, reader=dict(type=reader.__name__))
    return step.transform(dict(path=path, media='video', start=start, end=end))


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
@pytest.mark.parametrize(
    'start, end',
    [(3, 4), (12, 12.5), (12, None), (None, 2.5), (11.5, 12.1), (2.25, 2.5), (12 + 2 / 24, 12 + 4 / 24), (0, 100)],
)
def test_seconds_are_looked_up_in_the_time_stamps(tmp_path, reader, suffix, start, end):
    """Right are the frames that somebody sees who watches from ``start`` to ``end``, asked every millisecond."""
    path = write_varying(tmp_path / f'a.{suffix}')
    watched = np.arange(0, 12.5, 0.001) + 0.0005
    watched = watched[(watched > (start or 0)) & (watched < (end or 100))]
    seen = sorted({max(k for k, time in enumerate(VARYING) if time <= moment) for moment in watched})
    results = load(path, start, end, reader)
    assert sorted(set(results['frame_indices'])) == seen
    assert sorted({media.frame_number(frame.permute(1, 2, 0).numpy()) for frame in results['clip']}) == seen


@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
def test_the_length_of_a_varying_clip_is_that_of_its_time_stamps(tmp_path, suffix):
    info = PyAVReader().probe(write_varying(tmp_path / f'a.{suffix}'))
    assert info.num_frames == 24 and info.duration == pytest.approx(12.5, abs=0.002)
    assert info.fps == pytest.approx(24 / 12.5, rel=1e-3)
    np.testing.assert_allclose(info.times, [float(time) for time in VARYING], atol=0.0006)
    with pytest.raises(ClipError, match=r'between start=12.6 s and end=13 s: the clip lasts 12.50 s'):
        load(str(tmp_path / f'a.{suffix}'), 12.6, 13, PyAVReader)


ONE = 1 << 16
MATRICES = {
    'mirrored': [-ONE, 0, 0, ONE],
    'upside down': [ONE, 0, 0, -ONE],
    'half turn': [-ONE, 0, 0, -ONE],
    'quarter turn': [0, ONE, -ONE, 0],
    'turn back': [0, -ONE, ONE, 0],
    'transposed': [0, ONE, ONE, 0],
    'other diagonal': [0, -ONE, -ONE, 0],
    'as it is': [ONE, 0, 0, ONE],
}


def shown(picture, a, b, c, d):
    """Move each pixel to (a p + c q, b p + d q), shifted so that the picture begins at 0."""
    height, width = picture.shape[:2]
    p, q = np.meshgrid(np.arange(width), np.arange(height))
    x, y = (a * p + c * q) // ONE, (b * p + d * q) // ONE
    x, y = x - x.min(), y - y.min()
    result = np.zeros((y.max() + 1, x.max() + 1, 3), picture.dtype)
    result[y, x] = picture
    return result


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
@pytest.mark.parametrize('name', MATRICES)
def test_the_whole_display_matrix_is_applied(tmp_path, reader, suffix, name):
    a, b, c, d = MATRICES[name]
    path = media.write_tracks(tmp_path / f'a.{suffix}', FRAMES[:4], matrix=[a, b, 0, c, d, 0, 0, 0, 1 << 30])
    plain = PyAVReader().read(media.write_tracks(tmp_path / f'plain.{suffix}', FRAMES[:4]), [0, 3])
    frames = reader().read(path, [0, 3])
    np.testing.assert_array_equal(frames, np.stack([shown(picture, a, b, c, d) for picture in plain]))


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize(
    'name, marks', [('a.mp4', Disposition.attached_pic), ('a.mkv', Disposition.still_image), ('b.mkv', None)]
)
def test_covers_thumbnails_and_stills_are_not_the_video(tmp_path, reader, name, marks):
    path = media.write_tracks(tmp_path / name, FRAMES[:20], cover='mjpeg', disposition=marks)
    with av.open(path) as container:
        assert len(container.streams.video) == 2
    assert reader().probe(path).num_frames == 20
    assert [media.frame_number(frame) for frame in reader().read(path, [0, 7, 19])] == [0, 7, 19]


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize(
    'name, sound, reason',
    [
        ('a.mp3', 'libmp3lame', 'audio-only, no video track; its picture is cover art'),
        ('a.mp4', 'aac', 'audio-only, no video track; its picture is cover art'),
        ('b.mp4', '', ': no video track; its picture is cover art'),
    ],
)
def test_a_song_with_a_cover_is_audio_only(tmp_path, reader, name, sound, reason):
    path = media.write_tracks(
        tmp_path / name, cover='mjpeg', sound=sound, disposition=Disposition.attached_pic, size=(64, 64)
    )
    with pytest.raises(ClipError, match=reason):
        reader().probe(path)
    if sound:
        assert len(AudioReader().read(path)[0]) >= 16000


def with_shared_times(folder, shared):
    """A Matroska file without B-frames in which each frame of ``shared`` appears together with the one before."""
    source = media.write_video(folder / 'source.mkv', FRAMES, options=dict(bf='0', g='12'))
    path = str(folder / 'shared.mkv')
    with av.open(source) as reading, av.open(path, 'w') as writing:
        copy = writing.add_stream_from_template(reading.streams.video[0])
        for number, packet in enumerate(packet for packet in reading.demux() if packet.size):
            if number in shared:
                packet.pts, packet.dts = packet.pts - 100, packet.dts - 100
            packet.stream = copy
            writing.mux(packet)
    return path


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('shared', [{5}, {12}, {13, 24, 25 + 1, 36}, {59}])
def test_frames_that_share_a_time_keep_their_numbers(tmp_path, reader, shared):
    path = with_shared_times(tmp_path, shared)
    info = reader().probe(path)
    assert info.num_frames == 60 and len(set(info.times)) == 60 - len(shared)
    draws = np.random.default_rng(0)
    for indices in [
        list(range(60)),
        *([number] for number in sorted(shared)),
        *(draws.integers(60, size=6).tolist() for _ in range(4)),
    ]:
        assert [media.frame_number(frame) for frame in reader().read(path, indices)] == indices


CUT = {
    'a.webm': 'libvpx-vp9',
    'b.webm': 'libvpx',
    'a.mkv': 'libx264',
    'a.ts': 'libx264',
    'a.flv': 'flv',
    'a.avi': 'mpeg4',
    'a.mp4': 'libx264',
}


@pytest.mark.parametrize(
    'name, sound', [*((name, False) for name in CUT), ('a.mkv', True), ('a.ts', True), ('a.mp4', True)]
)
def test_a_file_that_ends_early_is_truncated_and_a_whole_one_is_not(tmp_path, name, sound):
    path = media.write_video(tmp_path / name, FRAMES, fps=25, codec=CUT[name], audio=sound, options=dict(g='12'))
    assert PyAVReader().probe(path).num_frames == 60
    whole = Path(path).read_bytes()
    for share in (0.35, 0.5, 0.65, 0.8):
        length = int(share * len(whole))
        Path(path).write_bytes(whole[: length + (length % 188 == 0)])
        for reader in READERS:
            with pytest.raises(ClipError, match='truncated'):
                reader().probe(path)


def test_a_fragmented_mp4_that_ends_early_is_truncated(tmp_path):
    path = media.write_tracks(tmp_path / 'a.mp4', FRAMES, options=dict(movflags='frag_keyframe+empty_moov'))
    assert PyAVReader().probe(path).num_frames == 60
    whole = Path(path).read_bytes()
    for share in (0.35, 0.5, 0.65, 0.8):
        Path(path).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ClipError, match='truncated'):
            PyAVReader().probe(path)


def test_a_recording_that_declares_no_length_is_read(tmp_path):
    """Browsers write WebM without one."""
    path = media.write_tracks(tmp_path / 'live.mkv', FRAMES, options=dict(live='1'))
    with av.open(path) as container:
        assert not container.duration
    assert PyAVReader().probe(path).num_frames == 60


@pytest.mark.parametrize('name', ['a.webm', 'b.webm', 'a.mkv'])
def test_damaged_webm_never_reaches_decord_which_would_end_the_process(tmp_path, name):
    path = tmp_path / name
    media.write_video(path, FRAMES, codec=CUT[name], options=dict(g='12'))
    whole = path.read_bytes()
    files = []
    for seed in range(12):
        draws, data = np.random.default_rng(seed), bytearray(whole)
        start = int(draws.integers(600, len(data) * 2 // 3))
        data[start : start + 400] = draws.integers(0, 256, 400, dtype=np.uint8).tobytes()
        files.append(tmp_path / f'{seed}{path.suffix}')
        files[-1].write_bytes(data)
    code = (
        'import sys\nfrom vlpeft.datasets.readers import ClipError, DecordReader\n'
        'for path in sys.argv[1:]:\n    reader = DecordReader()\n    try:\n'
        '        reader.read(path, range(0, reader.probe(path).num_frames, 7)); print("read")\n'
        '    except ClipError as error:\n        print("refused")\n'
        'assert "decord" not in sys.modules'
    )
    done = subprocess.run([sys.executable, '-c', code, *map(str, files)], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 12


def test_a_title_in_another_encoding_does_not_matter(tmp_path):
    path = tmp_path / 'a.mkv'
    with av.open(str(path), 'w') as container:
        container.metadata['title'] = 'Caf_____'
        stream = container.add_stream('libx264', rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 80, 'yuv420p'
        for frame in FRAMES[:3]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert b'Caf_____' in data
    path.write_bytes(data.replace(b'Caf_____', 'Café____'.encode('latin-1')))
    assert PyAVReader().probe(str(path)).num_frames == 3


@pytest.mark.parametrize('reader', READERS)
def test_pictures_that_change_their_size_are_refused(tmp_path, reader):
    """Two streams in one file, as recorders write that start again."""
    parts = [
        media.write_video(tmp_path / f'{size[0]}.h264', media.numbered_frames(6, size))
        for size in ((48, 80), (96, 160))
    ]
    path = tmp_path / 'a.h264'
    path.write_bytes(b''.join(Path(part).read_bytes() for part in parts))
    with pytest.raises(ClipError, match=r'pictures change their size, from \(48, 80\) to \(96, 160\)'):
        reader().read(str(path), range(reader().probe(str(path)).num_frames))


@pytest.mark.parametrize('reader', READERS)
def test_animated_webp_says_what_to_do(tmp_path, reader):
    pictures = [Image.fromarray(frame) for frame in FRAMES[:4]]
    pictures[0].save(tmp_path / 'a.webp', save_all=True, append_images=pictures[1:], duration=100)
    with pytest.raises(ClipError, match='animated WebP is not supported as a video; convert it to MP4'):
        reader().probe(str(tmp_path / 'a.webp'))
