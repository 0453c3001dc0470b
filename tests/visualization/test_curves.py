"""Curves: gaps stay gaps, smoothing by its formula, and all of a picture is within it."""

import numpy as np
import pytest
from PIL import Image

from vlpeft.visualization.curves import COLOURS, draw_curves, exponential_mean, with_gaps


def test_missing_points_are_gaps():
    steps, values = with_gaps(np.array([10, 20, 30, 80, 90]), np.arange(5.0), even=True)
    assert steps.tolist() == [10, 20, 30, 55, 80, 90]
    assert np.isnan(values[3]) and values[[0, 1, 2, 4, 5]].tolist() == [0, 1, 2, 3, 4]
    assert with_gaps(np.array([10, 20, 30, 80, 90]), np.arange(5.0), even=False)[0].tolist() == [10, 20, 30, 80, 90]


@pytest.mark.parametrize('weight', [0.0, 0.5, 0.9])
def test_smoothing_is_the_weighted_mean_of_what_came_before(weight):
    values = np.random.default_rng(0).normal(size=12)
    values[4] = np.nan
    smoothed = exponential_mean(values, weight)
    for t in range(12):
        # The age of a value counts finite values only.
        ages = [sum(np.isfinite(values[i + 1 : t + 1])) for i in range(t + 1)]
        weights = np.array([0 if i == 4 else weight**age for i, age in enumerate(ages)])
        expected = np.nan if t == 4 else (weights * np.nan_to_num(values[: t + 1])).sum() / weights.sum()
        assert smoothed[t] == pytest.approx(expected, nan_ok=True)


def pixels(path, colour):
    """How many pixels are about of a colour."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(np.asarray(Image.open(path).convert('RGB'), int) - rgb).sum(-1) < 40).sum())


def test_every_run_is_drawn_in_its_colour(tmp_path):
    runs = {f'run {i}': dict(loss=(np.arange(1, 6 + i), np.arange(5 + i) * (i + 1.0))) for i in range(3)}
    draw_curves(tmp_path / 'below/curves.png', runs, ['loss'])
    found = [pixels(tmp_path / 'below/curves.png', colour) for colour in COLOURS[:4]]
    assert min(found[:3]) > 300 and found[3] < 30


def test_a_curve_that_is_nowhere_finite_and_one_point_are_drawn(tmp_path):
    runs = dict(a=dict(loss=(np.array([5]), np.array([np.nan])), acc=(np.array([5]), np.array([1.0]))))
    draw_curves(tmp_path / 'curves.png', runs, ['loss', 'acc'], even=['loss'])
    assert pixels(tmp_path / 'curves.png', COLOURS[0]) > 20


@pytest.mark.parametrize('length', [5, 120])
def test_long_names_are_not_cut_off(tmp_path, length):
    name = 'm' * length
    draw_curves(tmp_path / 'curves.png', {name: dict(loss=(np.arange(1, 4), np.arange(3.0)))}, ['loss'])
    image = np.asarray(Image.open(tmp_path / 'curves.png').convert('L'), int)
    # Text that reached beyond the picture would leave ink at its edge.
    assert image[:, -2:].min() > 240 and image[-2:].min() > 240 and image[:, :2].min() > 240


def test_smoothing_leaves_the_raw_curve_behind(tmp_path):
    # The mean stays near 5, so that above there is the raw curve alone, and it is faint.
    runs = dict(a=dict(loss=(np.arange(1, 41), np.tile([0.0, 10.0], 20))))
    draw_curves(tmp_path / 'curves.png', runs, ['loss'], smooth=0.95)
    rgb = np.asarray(Image.open(tmp_path / 'curves.png').convert('RGB'), int)
    upper = rgb[: len(rgb) // 4].reshape(-1, 3)
    strong = np.array([0x00, 0x72, 0xB2])
    faint = 0.35 * strong + 0.65 * 255
    assert (np.abs(upper - faint).sum(-1) < 40).sum() > 200
    assert (np.abs(upper - strong).sum(-1) < 40).sum() == 0
    assert pixels(tmp_path / 'curves.png', COLOURS[0]) > 300
