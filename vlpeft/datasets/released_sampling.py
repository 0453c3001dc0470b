"""Which frames of a clip the release of eP-ALM sees; ``frame_sampling.py`` has the better way.

A clip of N frames has n = min(T, N) segments, of the frames from ⌊i N / n⌋ to ⌊(i + 1) N / n⌋ - 1. Draws never take
the last frame of a segment; clips with fewer frames than asked for repeat their last.
"""

import numpy as np
import torch

from .frame_sampling import check_range


def released_middle_indices(start: int, end: int, num_frames: int) -> np.ndarray:
    """Of each segment the frame ⌊(first + last) / 2⌋.

    Args:
        start: First frame.
        end: Frame after the last.
        num_frames: T.

    Returns:
        int64 (T,), ascending.

    Raises:
        ValueError: T < 1 or an empty range.
    """
    first, last = _segments(start, end, num_frames)
    return _filled((first + last) // 2, num_frames)


def released_random_indices(start: int, end: int, num_frames: int) -> np.ndarray:
    """Of each segment one of its frames but the last; n of all frames if a segment has no other than its last.

    Draws come from torch's global generator. Arguments, result and errors are those of
    :func:`released_middle_indices`.
    """
    first, last = _segments(start, end, num_frames)
    if (first == last).any():
        return _filled(start + torch.randperm(end - start)[: len(first)].sort().values.numpy(), num_frames)
    places = torch.rand(len(first), dtype=torch.float64).numpy()
    return _filled(np.minimum(first + (places * (last - first)).astype(np.int64), last - 1), num_frames)


def _segments(start: int, end: int, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    check_range(start, end, num_frames)
    count = min(num_frames, end - start)
    bounds = start + np.arange(count + 1) * (end - start) // count
    return bounds[:-1], bounds[1:] - 1


def _filled(indices: np.ndarray, num_frames: int) -> np.ndarray:
    return np.concatenate([indices, np.full(num_frames - len(indices), indices[-1])])
