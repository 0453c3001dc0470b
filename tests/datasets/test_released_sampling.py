"""Frames as eP-ALM's release draws them: the law in exact integers, every frame that can be drawn, and short clips."""

import numpy as np
import pytest
import torch

from vlpeft.datasets.released_sampling import released_middle_indices, released_random_indices

LENGTHS = [(0, 80, 8), (3, 100, 8), (0, 16, 8), (0, 37, 16), (5, 38, 16), (0, 300, 1)]


def segments(start, end, num_frames):
    """First and last frame of each segment, one by one."""
    length, count = end - start, min(num_frames, end - start)
    return [(start + i * length // count, start + (i + 1) * length // count - 1) for i in range(count)]


@pytest.mark.parametrize('start, end, num_frames', LENGTHS)
def test_middles_are_the_floor_of_the_mean_of_first_and_last(start, end, num_frames):
    expected = [(first + last) // 2 for first, last in segments(start, end, num_frames)]
    assert released_middle_indices(start, end, num_frames).tolist() == expected


def test_middles_of_eight_segments_of_ten():
    # The better middles are 5, 15, …: frame k covers [k, k + 1).
    assert released_middle_indices(0, 80, 8).tolist() == [4, 14, 24, 34, 44, 54, 64, 74]


@pytest.mark.parametrize('start, end, num_frames', LENGTHS)
def test_draws_are_all_frames_of_their_segments_but_the_last(start, end, num_frames):
    torch.manual_seed(0)
    draws = np.stack([released_random_indices(start, end, num_frames) for _ in range(4000)])
    for column, (first, last) in zip(draws.T, segments(start, end, num_frames)):
        assert set(column.tolist()) == set(range(first, last))


def test_draws_are_uniform_and_follow_the_seed():
    torch.manual_seed(0)
    draws = np.stack([released_random_indices(0, 22, 2) for _ in range(8000)])
    counts = np.bincount(draws[:, 1] - 11, minlength=11)
    assert counts[10] == 0 and np.abs(counts[:10] / 8000 - 0.1).max() < 0.02
    torch.manual_seed(0)
    np.testing.assert_array_equal(np.stack([released_random_indices(0, 22, 2) for _ in range(8000)]), draws)


def test_where_a_segment_has_one_frame_any_frames_are_drawn_in_order():
    """11 frames in 8 segments, of which five have one frame."""
    torch.manual_seed(0)
    draws = np.stack([released_random_indices(2, 13, 8) for _ in range(2000)])
    assert (np.diff(draws, axis=1) > 0).all() and set(draws.ravel().tolist()) == set(range(2, 13))
    # Each frame is left out as often as any other: in 3 draws of 11.
    assert np.abs(np.bincount(draws.ravel() - 2) / 2000 - 8 / 11).max() < 0.05


@pytest.mark.parametrize('sample', [released_middle_indices, released_random_indices])
@pytest.mark.parametrize(
    'start, end, expected', [(0, 5, [0, 1, 2, 3, 4, 4, 4, 4]), (7, 8, [7] * 8), (3, 11, list(range(3, 11)))]
)
def test_short_clips_repeat_their_last_frame(sample, start, end, expected):
    assert sample(start, end, 8).tolist() == expected


@pytest.mark.parametrize('sample', [released_middle_indices, released_random_indices])
@pytest.mark.parametrize(
    'start, end, num_frames, message',
    [(0, 10, 0, 'num_frames must be at least 1'), (5, 5, 8, r'empty range \[5, 5\)'), (-1, 5, 8, 'empty range')],
)
def test_impossible_counts_are_errors(sample, start, end, num_frames, message):
    with pytest.raises(ValueError, match=message):
        sample(start, end, num_frames)
