"""Audio reader: the waveform of a sound file, at one sample rate."""

import numpy as np

from ...registry import READERS
from ..frame_sampling import frame_range
from .base import ClipError, check_file


@READERS.register_module()
class AudioReader:
    """First channel of a sound file.

    WAV, FLAC, OGG, MP3, … are read by libsndfile, other containers (M4A, MP4, WebM, …) by PyAV, from their beginning.
    A WAV, OGG or MP3 file that is cut off is read as far as it goes: their headers may be wrong in good files, too.

    Args:
        sample_rate (int, optional): Samples per second wanted; other files are resampled (libswresample). None keeps
            each file's own rate. Defaults to 16000.
    """

    def __init__(self, sample_rate: int | None = 16000) -> None:
        self.sample_rate = sample_rate

    def read(self, path: str, start: float | None = None, end: float | None = None) -> tuple[np.ndarray, int]:
        """Read a file or a part of it.

        Args:
            path (str): The file.
            start (float, optional): First second. Defaults to None (the beginning).
            end (float, optional): Last second, cut to the file's end. Defaults to None (the file's end).

        Returns:
            tuple[np.ndarray, int]: Waveform, float32 (N,) in [-1, 1], and its samples per second.

        Raises:
            ClipError: The file is missing, no sound file, damaged or empty, or it ends before ``start``.
            ImportError: soundfile is not installed.
        """
        check_file(path)
        try:
            samples, rate = _read(path, start, end)
        except ValueError as error:
            raise ClipError(path, str(error)) from error
        if not len(samples):
            raise ClipError(path, 'no sound in it')
        if self.sample_rate not in (None, rate):
            samples, rate = resample(samples, rate, self.sample_rate), self.sample_rate
        return samples, rate


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Another sample rate, by libswresample: a windowed sinc, without delay.

    Args:
        samples (np.ndarray): Waveform, float32 (N,), N > 0.
        rate (int): Its samples per second.
        wanted (int): Samples per second of the result.

    Returns:
        np.ndarray: float32, N · wanted / rate samples to the nearest integer.
    """
    import av
    frame = av.AudioFrame.from_ndarray(samples[None], format='fltp', layout='mono')
    frame.sample_rate = rate
    resampler = av.AudioResampler(format='fltp', layout='mono', rate=wanted)
    pieces = [piece.to_ndarray()[0] for piece in [*resampler.resample(frame), *resampler.resample(None)]]
    return np.concatenate(pieces) if pieces else samples[:0]


def _read(path: str, start: float | None, end: float | None) -> tuple[np.ndarray, int]:
    """Waveform and rate; ValueError if the file has nothing between ``start`` and ``end``."""
    try:
        import soundfile
    except ImportError as error:
        raise ImportError('audio needs soundfile: pip install soundfile') from error
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:  # not one of its formats
        samples, rate = _decode(path)
        first, stop = frame_range(len(samples), rate, start, end)
        return samples[first:stop], rate
    with file:
        first, stop = frame_range(file.frames, file.samplerate, start, end)
        try:
            file.seek(first)
            samples = file.read(stop - first, dtype='float32', always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ClipError(path, f'damaged or truncated ({error.error_string})') from error
    return np.ascontiguousarray(samples[:, 0]), file.samplerate


def _decode(path: str) -> tuple[np.ndarray, int]:
    """First channel and rate of the first audio track of whatever FFmpeg decodes."""
    import av
    try:
        with av.open(path) as container:
            if not container.streams.audio:
                raise ClipError(path, 'no audio track')
            stream, as_float = container.streams.audio[0], av.AudioResampler(format='fltp')
            pieces = [piece.to_ndarray()[0] for frame in container.decode(stream) for piece in as_float.resample(frame)]
            return np.concatenate([np.empty(0, np.float32), *pieces]), stream.rate
    except av.error.FFmpegError as error:
        raise ClipError(path, f'not a readable sound file, or damaged ({error.strerror})') from error
