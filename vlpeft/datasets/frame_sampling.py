"""Which frames of a clip a model sees: one from each of T equal segments."""

import math

import numpy as np
import torch


def frame_range(num_frames: int, fps: float, start: float | None = None, end: float | None = None) -> tuple[int, int]:
    """Frames shown in a range of seconds.

    Args:
        num_frames (int): Frames of the clip.
        fps (float): Average frames per second of the clip.
        start (float, optional): First second. Defaults to None (the beginning).
        end (float, optional): Last second, cut to the clip's end. Defaults to None (the clip's end).

    Returns:
        tuple[int, int]: First frame and the frame after the last; never empty.

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
        raise ValueError(f'no frames between start={start} s and end={end} s: the clip lasts {num_frames / fps:.2f} s')
    return first, stop


def middle_indices(start: int, end: int, num_frames: int) -> np.ndarray:
    """Frames in the middle of T equal segments of [start, end); deterministic, for tests.

    Frame k covers [k, k + 1) of the time axis: index_i = start + floor((i + 1/2) (end - start) / T).

    Args:
        start (int): First frame.
        end (int): Frame after the last.
        num_frames (int): Segments T. A range shorter than T repeats frames.

    Returns:
        np.ndarray: int64 (T,), ascending.

    Raises:
        ValueError: T < 1 or an empty range.
    """
    _check(start, end, num_frames)
    return start + (2 * np.arange(num_frames) + 1) * (end - start) // (2 * num_frames)


def random_indices(start: int, end: int, num_frames: int) -> np.ndarray:
    """One uniform draw from each of T equal segments of [start, end), for training.

    Draws come from torch's global generator, which every loader worker has seeded for itself.
    Arguments, result and errors are those of :func:`middle_indices`.
    """
    _check(start, end, num_frames)
    place = (np.arange(num_frames) + torch.rand(num_frames, dtype=torch.float64).numpy()) / num_frames
    return start + np.minimum((place * (end - start)).astype(np.int64), end - start - 1)


def _check(start: int, end: int, num_frames: int) -> None:
    if num_frames < 1:
        raise ValueError(f'num_frames must be at least 1, got {num_frames}')
    if not 0 <= start < end:
        raise ValueError(f'cannot draw frames from the empty range [{start}, {end})')
