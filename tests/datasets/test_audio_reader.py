"""The audio reader returns the samples asked for, at the rate asked for, and names what is wrong with a file."""

import subprocess
import sys

import av
import numpy as np
import pytest

from tests import media
from tests.sounds import sine, write_sound
from vlpeft.datasets.readers import AudioReader, ClipError
from vlpeft.datasets.readers.audio_reader import resample
from vlpeft.registry import READERS

NOISE = np.random.default_rng(0).uniform(-0.8, 0.8, 16000)


def write_aac(path, samples, rate, video=False):
    """An MP4 with an AAC track, and with a video track if asked for."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=rate, layout='mono', bit_rate=192000)
        if video:
            pictures = container.add_stream('libx264', rate=10)
            pictures.height, pictures.width, pictures.pix_fmt = 48, 80, 'yuv420p'
            for frame in media.numbered_frames(10):
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
            container.mux(pictures.encode())
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format='fltp', layout='mono')
        frame.sample_rate, frame.pts = rate, 0
        container.mux([*stream.encode(frame), *stream.encode()])
    return str(path)


@pytest.mark.parametrize(
    'suffix, subtype, step',
    [('wav', 'PCM_16', 2**-15), ('wav', 'PCM_24', 2**-23), ('wav', 'FLOAT', 1e-7), ('flac', 'PCM_16', 2**-15)],
)
def test_lossless_files_give_the_first_channel_back(tmp_path, suffix, subtype, step):
    path = write_sound(tmp_path / f'a.{suffix}', NOISE, -NOISE, rate=22050, subtype=subtype)
    samples, rate = AudioReader(sample_rate=None).read(path)
    assert (samples.dtype, samples.shape, rate) == (np.float32, (16000,), 22050)
    np.testing.assert_allclose(samples, NOISE, rtol=0, atol=step)


@pytest.mark.parametrize('name', ['a.ogg', 'a.mp3', 'a.m4a', 'film.mp4'])
def test_compressed_sounds_come_back_in_time_and_in_size(tmp_path, name):
    wave = sine(440) + sine(7, amplitude=0.3)
    path = tmp_path / name
    if path.suffix in ('.m4a', '.mp4'):
        write_aac(path, wave, 16000, video=name == 'film.mp4')
    else:
        write_sound(path, wave)
    samples, rate = AudioReader().read(str(path))
    assert rate == 16000 and len(samples) >= 15900
    # A shift by a single sample makes an error of 0.06.
    assert np.sqrt(np.mean(np.square(samples[200:15800] - wave[200:15800]))) < 0.02


@pytest.mark.parametrize('name', ['a.wav', 'a.flac', 'a.mkv'])
def test_seconds_choose_samples(tmp_path, name):
    path = tmp_path / name
    if name == 'a.mkv':
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('pcm_s16le', rate=16000, layout='mono')
            frame = av.AudioFrame.from_ndarray((NOISE[None] * 2**15).astype(np.int16), format='s16', layout='mono')
            frame.sample_rate, frame.pts = 16000, 0
            container.mux([*stream.encode(frame), *stream.encode()])
    else:
        write_sound(path, NOISE)
    read = AudioReader().read
    for start, end, first, stop in [
        (None, None, 0, 16000),
        (0.25, None, 4000, 16000),
        (None, 0.5, 0, 8000),
        (0.1, 0.3, 1600, 4800),
        (0.9, 7, 14400, 16000),
    ]:
        samples, _ = read(str(path), start, end)
        np.testing.assert_allclose(samples, NOISE[first:stop], rtol=0, atol=2**-15)
    with pytest.raises(ClipError, match=r'between start=1.5 s and end=2 s: the clip lasts 1.00 s') as caught:
        read(str(path), 1.5, 2)
    assert caught.value.path == str(path)


@pytest.mark.parametrize('rate', [8000, 22050, 44100, 48000])
def test_resampling_keeps_a_sine_its_place_and_its_length(tmp_path, rate):
    """The wave at the new rate is known exactly; at both ends the filter reaches over the edge."""
    path = write_sound(tmp_path / 'a.wav', sine(440, rate=rate), rate=rate, subtype='FLOAT')
    samples, new = AudioReader().read(path)
    assert (new, len(samples), samples.dtype) == (16000, 16000, np.float32)
    np.testing.assert_allclose(samples[200:-200], sine(440)[200:-200], rtol=0, atol=2e-5)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    high = sine(12000, rate=48000).astype(np.float32)
    assert np.abs(resample(high, 48000, 16000)[200:-200]).max() < 1e-4
    assert np.abs(high[::3]).max() > 0.4 or np.abs(high[1::3]).max() > 0.4  # which dropping samples keeps


def broken(folder, kind):
    path = folder / ('broken.flac' if kind == 'truncated' else 'broken.wav')
    if kind == 'not a sound':
        path.write_text('<html>404</html>' * 100)
    elif kind == 'empty':
        path.touch()
    elif kind == 'folder':
        path.mkdir()
    elif kind == 'no samples':
        write_sound(path, NOISE[:0], rate=44100)
    elif kind == 'silent film':
        media.write_video(folder / 'film.mp4', media.numbered_frames(3))
        return str(folder / 'film.mp4')
    elif kind == 'truncated':
        data = open(write_sound(path, NOISE), 'rb').read()
        path.write_bytes(data[: len(data) // 2])
    return str(path)


@pytest.mark.parametrize(
    'kind, reason',
    [
        ('missing', 'no such file'),
        ('folder', 'no such file'),
        ('empty', 'the file is empty'),
        ('not a sound', 'not a readable sound file'),
        ('no samples', 'no sound in it'),
        ('silent film', 'no audio track'),
        ('truncated', 'damaged or truncated'),
    ],
)
def test_a_broken_file_is_a_clip_error_with_path_and_reason(tmp_path, kind, reason):
    path = broken(tmp_path, kind)
    with pytest.raises(ClipError, match=reason) as caught:
        READERS.build(dict(type='AudioReader')).read(path)
    assert caught.value.path == path and path in str(caught.value)


@pytest.mark.parametrize(
    'name, tracks',
    [
        ('a.mka', dict(sound='aac')),
        ('a.webm', dict(sound='libopus')),
        ('film.mkv', dict(sound='aac', frames=media.numbered_frames(30))),
    ],
)
def test_a_matroska_file_that_is_cut_is_truncated_and_a_longer_film_is_not(tmp_path, name, tracks):
    path = media.write_tracks(tmp_path / name, **tracks)
    assert len(AudioReader().read(path)[0]) >= 15900
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 6 // 10])
    # Of the smallest file so little is left that FFmpeg cannot open it.
    reason = 'not a readable sound file' if name == 'a.mka' else r'truncated: \d.* s of \d.* s are there'
    with pytest.raises(ClipError, match=reason):
        AudioReader().read(path)


def test_a_wav_file_that_is_cut_off_is_refused_and_a_recording_of_unknown_length_is_read(tmp_path):
    """A recorder that writes into a pipe cannot go back to its head, and declares the longest file there can be."""
    path = tmp_path / 'a.wav'
    data = open(write_sound(path, NOISE), 'rb').read()
    path.write_bytes(data[: 44 + 2 * 5000])
    with pytest.raises(ClipError, match='truncated or damaged'):
        AudioReader().read(str(path))
    path.write_bytes(data[:4] + b'\xff' * 4 + data[8:40] + b'\xff' * 4 + data[44 : 44 + 2 * 5000])
    samples, _ = AudioReader().read(str(path))
    np.testing.assert_allclose(samples, NOISE[:5000], rtol=0, atol=2**-15)


def test_without_soundfile_the_package_is_named_and_nothing_else_needs_it(tmp_path):
    path = write_sound(tmp_path / 'a.wav', NOISE)
    code = (
        "import sys; sys.modules['soundfile'] = None\n"
        'from vlpeft.datasets.readers import AudioReader\n'
        f'try:\n    AudioReader().read({path!r})\nexcept ImportError as error:\n    print(error)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'pip install soundfile' in done.stdout
