"""What a reader is: ``probe`` a media file for its length, ``read`` the frames of given indices exactly."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlpeft.nearest import if_folder


class ClipError(Exception):
    """A media file that cannot be used: missing, truncated, not a video, without frames or without a video track.

    Args:
        path: The file. (Or the whole message alone: a DataLoader re-raises worker errors with one argument.)
        reason: Why it cannot be used. Defaults to ''.
        kind: 'missing', 'too_short' (nothing where the annotation looks), 'wrong_type' (sound where pictures are asked
            for, or the reverse) or anything else: 'unreadable'. Defaults to 'unreadable'.
    """

    def __init__(self, path: str, reason: str = '', kind: str = 'unreadable') -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason
        self.kind = kind

    def __str__(self) -> str:
        return f'cannot use {self.path}: {self.reason}' if self.reason else self.path


@dataclass(frozen=True)
class ClipInfo:
    """Length of a media file.

    Args:
        num_frames: Frames, at least 1.
        fps: Average frames per second; 0 for an image.
        times: Second at which each frame appears, from the first frame on; the rate may vary. Defaults to None, an
            image or a file without time stamps.
        duration: Seconds from the first frame to the end of the last one. Defaults to 0.
    """

    num_frames: int
    fps: float
    times: tuple[float, ...] | None = None
    duration: float = 0.0


class BaseReader(ABC):
    """Reads frames of a media file by index; the same indices give the same frames in every reader."""

    @abstractmethod
    def probe(self, path: str) -> ClipInfo:
        """Length of the file.

        Raises:
            ClipError: The file is missing, broken, or holds no video frame.
        """

    @abstractmethod
    def read(self, path: str, indices: Sequence[int]) -> np.ndarray:
        """Decode frames.

        Args:
            path: The file.
            indices: T frame numbers in presentation order, 0 <= index < ``num_frames``; any order, repeats allowed.

        Returns:
            RGB frames, uint8 (T, H, W, 3).

        Raises:
            ClipError: As ``probe``, or a wanted frame cannot be decoded.
            IndexError: An index outside the clip.
        """


@contextmanager
def decoding(path: str, problem: str) -> Iterator[None]:
    """The one place where exceptions of decoders become unreadable samples.

    Libraries raise whatever they like on damaged files (``KeyError``, ``MemoryError``, ``UnicodeDecodeError``, …), so
    every exception of the block is a :class:`ClipError` of ``path``, but for one that is already, and a missing
    library.

    Args:
        path: The file that is being decoded.
        problem: What is then said of it.
    """
    try:
        yield
    except (ClipError, ImportError):
        raise
    except Exception as error:
        detail = ' '.join(str(getattr(error, 'strerror', None) or error).split()) or type(error).__name__
        if not isinstance(error, (OSError, ValueError, RuntimeError)):
            detail = f'{type(error).__name__}: {detail}'
        raise ClipError(path, f'{problem} ({detail[:300]})') from error


def check_finite(path: str, values: np.ndarray, what: str) -> None:
    """Raise :class:`ClipError` if there is NaN or Inf among ``values``, in this machine's byte order."""
    # NumPy's test of half floats is slow; NaN and Inf are those whose exponent is all ones.
    wrong = (values.view(np.uint16) & 0x7C00) == 0x7C00 if values.dtype == np.float16 else ~np.isfinite(values)
    if wrong.any():
        raise ClipError(path, f'{int(wrong.sum()):,} of {wrong.size:,} {what} are NaN or infinite')


def check_file(path: str) -> None:
    """Raise :class:`ClipError` unless ``path`` is a file with content."""
    file = Path(path)
    if not file.is_file():
        raise ClipError(path, f'no such file{if_folder(file)}', 'missing')
    if file.stat().st_size == 0:
        raise ClipError(path, 'the file is empty')


def check_indices(path: str, indices: Sequence[int], num_frames: int) -> None:
    """Raise :class:`IndexError` unless every index lies in [0, num_frames)."""
    wrong = [index for index in indices if not 0 <= index < num_frames]
    if wrong:
        raise IndexError(f'{path}: frame {wrong[0]} of a clip of {num_frames} frames; valid: 0..{num_frames - 1}')
