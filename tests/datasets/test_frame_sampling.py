"""Frames per segment: middles for tests, one draw each for training, ranges in seconds."""

import numpy as np
import pytest
import torch

from vlpeft.datasets.frame_sampling import frame_range, middle_indices, random_indices


@pytest.mark.parametrize(
    'start, end, num_frames, expected',
    [
        (0, 80, 8, [5, 15, 25, 35, 45, 55, 65, 75]),
        (0, 8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (0, 5, 4, [0, 1, 3, 4]),
        (10, 13, 8, [10, 10, 10, 11, 11, 12, 12, 12]),
        (7, 8, 3, [7, 7, 7]),
        (0, 100, 1, [50]),
    ],
)
def test_middles_of_segments(start, end, num_frames, expected):
    assert middle_indices(start, end, num_frames).tolist() == expected


@pytest.mark.parametrize('start, end, num_frames', [(0, 80, 8), (3, 100, 8), (0, 5, 4), (10, 13, 8), (7, 8, 3)])
def test_draws_lie_in_their_segments_and_reach_every_frame(start, end, num_frames):
    torch.manual_seed(0)
    draws = np.stack([random_indices(start, end, num_frames) for _ in range(4000)])
    length, segment = end - start, np.arange(num_frames)
    assert (draws >= start + segment * length // num_frames).all()
    assert (draws <= start + -(-(segment + 1) * length // num_frames) - 1).all()
    assert set(draws.ravel().tolist()) == set(range(start, end))


def test_draws_are_uniform_in_their_segment_and_follow_the_seed():
    torch.manual_seed(0)
    draws = np.stack([random_indices(0, 20, 2) for _ in range(8000)])
    counts = np.bincount(draws[:, 1] - 10, minlength=10)
    assert np.abs(counts / 8000 - 0.1).max() < 0.02
    torch.manual_seed(0)
    np.testing.assert_array_equal(np.stack([random_indices(0, 20, 2) for _ in range(8000)]), draws)


@pytest.mark.parametrize('sample', [middle_indices, random_indices])
@pytest.mark.parametrize(
    'start, end, num_frames, message',
    [
        (0, 10, 0, 'num_frames must be at least 1, got 0'),
        (0, 10, -2, 'at least 1'),
        (5, 5, 8, r'empty range \[5, 5\)'),
        (6, 5, 8, 'empty range'),
        (-1, 5, 8, 'empty range'),
    ],
)
def test_impossible_counts_are_errors(sample, start, end, num_frames, message):
    with pytest.raises(ValueError, match=message):
        sample(start, end, num_frames)


@pytest.mark.parametrize(
    'start, end, expected',
    [
        (None, None, (0, 100)),
        (2, None, (20, 100)),
        (None, 3, (0, 30)),
        (2.0, 3.0, (20, 30)),
        (2.05, 3.01, (20, 31)),
        (0.3, 0.7, (3, 7)),  # 0.7 * 10 is 7.000000000000001 in binary
        (9, 1e9, (90, 100)),
    ],
)
def test_seconds_become_frames(start, end, expected):
    assert frame_range(100, 10.0, start, end) == expected


@pytest.mark.parametrize(
    'start, end, fps, message',
    [
        (10, None, 10.0, 'clip lasts 10.00 s'),
        (12, 15, 10.0, 'no frames between start=12 s and end=15 s'),
        (3, 3, 10.0, 'no frames'),
        (-1, 3, 10.0, 'no frames'),
        (1, 2, 0.0, 'frame rate'),
    ],
)
def test_a_range_without_frames_is_an_error(start, end, fps, message):
    with pytest.raises(ValueError, match=message):
        frame_range(100, fps, start, end)
