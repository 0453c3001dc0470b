"""Paired bootstrap of two models on the same samples (Efron & Tibshirani, 1993, chapter 16; Koehn, EMNLP 2004).

    d = mean(b_i - a_i),   d*_b = the same of units drawn with replacement,
    interval = [quantile_2.5%(d*), quantile_97.5%(d*)],
    p = min(1, 2 (min(#{d* <= 0}, #{d* >= 0}) + 1) / (B + 1))

Samples are paired, so what both models find hard cancels out: two models whose own intervals overlap may well differ.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .intervals import Interval, mean_of_strata, percentile_intervals, stratified_means

RESAMPLES = 10_000


class Difference(NamedTuple):
    """How a second model differs from a first.

    Attributes:
        value: Mean of the second less that of the first.
        interval: 95 % of it; None where it cannot be told, of one unit.
        p_value: Two-sided; 1 where all differences are 0.
        units: Independent units, samples or clusters of them.
    """

    value: float
    interval: Interval | None
    p_value: float | None
    units: int


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    strata: Sequence | None = None,
) -> Difference:
    """The difference of two models' mean scores on the same samples.

    Args:
        first: (n,) scores of one model.
        second: (n,) scores of the other, of the same samples in the same order.
        clusters: (n,) names of what is drawn as a whole, such as the file that a question is about. Defaults to None,
            each sample on its own.
        resamples: B. Defaults to 10,000.
        seed: Of the draws. Defaults to 0.
        strata: (n,) names of sets, such as tasks, whose means count alike and which are drawn each on its own. Defaults
            to None, one set.

    Raises:
        ValueError: The numbers of scores differ, there is none, or not one cluster name (and stratum) for each.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f'{first.shape} scores of one model and {second.shape} of the other; samples are paired')
    # Differences of equal scores are 0 exactly, whatever rounding does.
    differences = second - first
    strata = [0] * len(differences) if strata is None else strata
    drawn = stratified_means(differences, strata, clusters, resamples, seed)
    units = len(differences) if clusters is None else len(set(clusters))
    value = mean_of_strata(differences, strata)
    if not differences.any():
        return Difference(0.0, (0.0, 0.0), 1.0, units)
    if units == 1:
        return Difference(value, None, None, units)
    low, high = percentile_intervals(drawn[:, None])[0]
    aside = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(value, (float(low), float(high)), float(min(1.0, 2 * (aside + 1) / (resamples + 1))), units)
