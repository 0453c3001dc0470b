"""Audio reader: the waveform of a sound file, at one sample rate."""

import os
import struct
from fractions import Fraction

import numpy as np

from ...registry import READERS
from ..frame_sampling import frame_range
from .base import ClipError, check_file, check_finite, decoding
from .container import DECLARING, check_length, open_media, packet_end

# Kinds of samples in a WAV file's head whose bytes a second are their rate times their size.
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


@READERS.register_module()
class AudioReader:
    """First channel of a sound file.

    WAV, FLAC, OGG, MP3, … are read by libsndfile, other containers (M4A, MP4, WebM, …) by PyAV, from their beginning.
    A WAV file that is shorter than it declares is refused, unless it declares no real length as recordings into a pipe
    do. OGG and MP3 files that are cut off, or lost whole pieces, are read as far as they go: nothing in them says how
    long they are.

    Args:
        sample_rate: Samples per second wanted; other files are resampled (libswresample). None keeps each file's own
            rate. Defaults to 16000.
    """

    def __init__(self, sample_rate: int | None = 16000) -> None:
        self.sample_rate = sample_rate

    def read(self, path: str, start: float | None = None, end: float | None = None) -> tuple[np.ndarray, int]:
        """Read a file or a part of it.

        Args:
            path: The file.
            start: First second. Defaults to None (the beginning).
            end: Last second, cut to the file's end. Defaults to None (the file's end).

        Returns:
            Waveform, float32 (N,) in [-1, 1], and its samples per second.

        Raises:
            ClipError: The file is missing, no sound file, damaged or empty, it ends before ``start``, or samples are
                NaN or infinite.
            ImportError: soundfile is not installed.
        """
        check_file(path)
        samples, rate = _read(path, start, end)
        if not len(samples):
            raise ClipError(path, 'no sound in it')
        check_finite(path, samples, 'samples')
        if self.sample_rate not in (None, rate):
            with decoding(path, f'cannot be resampled from {rate} samples a second'):
                samples, rate = resample(samples, rate, self.sample_rate), self.sample_rate
            if not len(samples):
                raise ClipError(path, 'no sound in it')
        return samples, rate


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Another sample rate, by libswresample: a windowed sinc, without delay.

    Args:
        samples: Waveform, float32 (N,), N > 0.
        rate: Its samples per second.
        wanted: Samples per second of the result.

    Returns:
        float32, N · wanted / rate samples to the nearest integer.
    """
    import av

    frame = av.AudioFrame.from_ndarray(samples[None], format='fltp', layout='mono')
    frame.sample_rate = rate
    resampler = av.AudioResampler(format='fltp', layout='mono', rate=wanted)
    pieces = [piece.to_ndarray()[0] for piece in [*resampler.resample(frame), *resampler.resample(None)]]
    return np.concatenate(pieces) if pieces else samples[:0]


def _read(path: str, start: float | None, end: float | None) -> tuple[np.ndarray, int]:
    """Waveform and rate between ``start`` and ``end``."""
    try:
        import soundfile
    except ImportError as error:
        raise ImportError('audio needs soundfile: pip install soundfile') from error
    try:
        file = soundfile.SoundFile(path)
    except Exception:  # not one of its formats, or damaged: FFmpeg says what it is
        samples, rate = _decode(path)
        first, stop = _samples_between(path, len(samples), rate, start, end)
        return samples[first:stop], rate
    if file.format in ('WAV', 'WAVEX') and _is_cut_wav(path):
        raise ClipError(path, 'truncated or damaged: the file does not hold the sound that its head declares')
    with file:
        first, stop = _samples_between(path, file.frames, file.samplerate, start, end)
        with decoding(path, 'damaged or truncated'):
            file.seek(first)
            samples = file.read(stop - first, dtype='float32', always_2d=True)
        if len(samples) < stop - first:
            raise ClipError(path, f'damaged or truncated: {len(samples):,} of {stop - first:,} samples are there')
    return np.ascontiguousarray(samples[:, 0]), file.samplerate


def _is_cut_wav(path: str) -> bool:
    """Whether a WAV file is shorter than its samples, ends within the head of what follows them, or has a head that
    contradicts itself. Recorders that write into a pipe declare about 2 or 4 GiB, or nothing.
    """
    with open(path, 'rb') as file:
        size, place, block = os.fstat(file.fileno()).st_size, 12, 1
        while place + 8 <= size:
            file.seek(place)
            name, length = struct.unpack('<4sI', file.read(8))
            if name == b'fmt ' and length >= 16:
                kind, _, rate, bytes_a_second, block, _ = struct.unpack('<HHIIHH', file.read(16))
                if kind in (PCM, FLOAT, EXTENSIBLE) and bytes_a_second != rate * block:
                    return True
                block = block or 1  # bytes of a sample of all channels
            place += 8 + length + length % 2
            if name == b'data':
                is_known = 0 < length < 0x7FFF0000
                return is_known and (place - length % 2 > size or 0 < size - place < 8 or length % block > 0)
    return False


def _samples_between(path: str, count: int, rate: int, start: float | None, end: float | None) -> tuple[int, int]:
    try:
        return frame_range(count, rate, start, end)
    except ValueError as error:
        raise ClipError(path, str(error), 'too_short') from error


def _decode(path: str) -> tuple[np.ndarray, int]:
    """First channel and rate of the audio track, chosen as FFmpeg does, of whatever FFmpeg decodes."""
    import av

    with open_media(path, 'not a readable sound file, or damaged') as container:
        stream = container.streams.best('audio')
        if stream is None:
            raise ClipError(path, 'no audio track', 'wrong_type')
        as_float = av.AudioResampler(format='fltp')
        pieces, ends = [np.empty(0, np.float32)], []
        for packet in container.demux(*(container.streams if container.format.name in DECLARING else [stream])):
            ends += [packet_end(packet)] if packet.size else []
            frames = packet.decode() if packet.stream_index == stream.index else []
            pieces += [piece.to_ndarray()[0] for frame in frames for piece in as_float.resample(frame)]
        check_length(path, container, ends, Fraction(1, 10))
        return np.concatenate(pieces), stream.rate
