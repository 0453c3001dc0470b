"""Which frames of a clip a model sees: one from each of T equal segments."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
import torch

# Containers round times to milliseconds: seconds that are as near to a frame's time mean it.
ROUNDING = 0.5e-3 + 1e-6


def timed_range(
    times: Sequence[float], duration: float, start: float | None = None, end: float | None = None
) -> tuple[int, int]:
    """Frames shown in a range of seconds, by their time stamps; the rate may vary.

    Frame k is shown from ``times[k]`` until the next one appears, the last until the clip ends; it belongs to the range
    if it is shown at some moment in it.

    Args:
        times: Second at which each frame appears, ascending from 0.
        duration: Seconds to the end of the last frame.
        start: First second. Defaults to None (the beginning).
        end: Last second, cut to the clip's end. Defaults to None (the clip's end).

    Returns:
        First frame and the frame after the last; never empty.

    Raises:
        ValueError: The range is empty or lies outside the clip.
    """
    if start is None and end is None:
        return 0, len(times)
    begin = 0.0 if start is None else start
    if not 0 <= begin < duration or not (end is None or begin < end):
        raise ValueError(_no_frames(start, end, duration))
    # Of frames that share their time all belong.
    first = bisect_left(times, times[bisect_right(times, begin + ROUNDING) - 1])
    return first, len(times) if end is None else max(bisect_left(times, end - ROUNDING), first + 1)


def frame_range(num_frames: int, fps: float, start: float | None = None, end: float | None = None) -> tuple[int, int]:
    """Frames (or samples of a sound) in a range of seconds, at a constant rate.

    Args:
        num_frames: Frames of the clip.
        fps: Frames per second of the clip.
        start: First second. Defaults to None (the beginning).
        end: Last second, cut to the clip's end. Defaults to None (the clip's end).

    Returns:
        First frame and the frame after the last; never empty.

    Raises:
        ValueError: The range is empty, lies outside the clip, or the file does not tell its frame rate.
    """
    if start is None and end is None:
        return 0, num_frames
    if fps <= 0:
        raise ValueError('start/end need a frame rate, which the file does not give')
    first = 0 if start is None else math.floor(start * fps + 1e-6)
    stop = num_frames if end is None else min(math.ceil(end * fps - 1e-6), num_frames)
    if not 0 <= first < stop:
        raise ValueError(_no_frames(start, end, num_frames / fps))
    return first, stop


def _no_frames(start: float | None, end: float | None, duration: float) -> str:
    return f'no frames between start={start} s and end={end} s: the clip lasts {duration:.2f} s'


def middle_indices(start: int, end: int, num_frames: int) -> np.ndarray:
    """Frames in the middle of T equal segments of [start, end); deterministic, for tests.

    Frame k covers [k, k + 1) of the time axis: index_i = start + floor((i + 1/2) (end - start) / T).

    Args:
        start: First frame.
        end: Frame after the last.
        num_frames: Segments T. A range shorter than T repeats frames.

    Returns:
        int64 (T,), ascending.

    Raises:
        ValueError: T < 1 or an empty range.
    """
    check_range(start, end, num_frames)
    return start + (2 * np.arange(num_frames) + 1) * (end - start) // (2 * num_frames)


def random_indices(start: int, end: int, num_frames: int) -> np.ndarray:
    """One uniform draw from each of T equal segments of [start, end), for training.

    Draws come from torch's global generator, which every loader worker has seeded for itself.
    Arguments, result and errors are those of :func:`middle_indices`.
    """
    check_range(start, end, num_frames)
    place = (np.arange(num_frames) + torch.rand(num_frames, dtype=torch.float64).numpy()) / num_frames
    return start + np.minimum((place * (end - start)).astype(np.int64), end - start - 1)


def check_range(start: int, end: int, num_frames: int) -> None:
    """Refuses T < 1 and an empty range of frames, with a ValueError."""
    if num_frames < 1:
        raise ValueError(f'num_frames must be at least 1, got {num_frames}')
    if not 0 <= start < end:
        raise ValueError(f'cannot draw frames from the empty range [{start}, {end})')
