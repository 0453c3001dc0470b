"""Paired bootstrap of two models on the same samples (Efron & Tibshirani, 1993, chapter 16; Koehn, EMNLP 2004).

    d = mean(b_i - a_i),   d*_b = the same of units, and of runs of each model, drawn with replacement,
    interval = [quantile_2.5%(d*), quantile_97.5%(d*)],
    p = min(1, 2 (min(#{d* <= 0}, #{d* >= 0}) + 1) / (B + 1))

Samples are paired, so what both models find hard cancels out: two models whose own intervals overlap may well differ.
Runs, such as those of several seeds, are not: each model's are drawn on their own, so that the interval also holds what
chance in training does. Of three runs it is somewhat too narrow.
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
        first: (n,) scores of one model, or (r, n) of r runs of it.
        second: Those of the other, of the same samples in the same order.
        clusters: (n,) names of what is drawn as a whole, such as the file that a question is about. Defaults to None,
            each sample on its own.
        resamples: B. Defaults to 10,000.
        seed: Of the draws. Defaults to 0.
        strata: (n,) names of sets, such as tasks, whose means count alike and which are drawn each on its own. Defaults
            to None, one set.

    Raises:
        ValueError: The numbers of scores differ, there is none, or not one cluster name (and stratum) for each.
    """
    first, second = (np.atleast_2d(np.asarray(scores, dtype=np.float64)) for scores in (first, second))
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f'{first.shape[-1]} scores of one model and {second.shape[-1]} of the other; samples are paired'
        )
    count = first.shape[1]
    if not count:
        raise ValueError('no sample is given: there is nothing to resample')
    units = count if clusters is None else len(set(clusters))
    strata = [0] * count if strata is None else strata
    # Differences of equal scores are 0 exactly, whatever rounding does.
    differences = (second[:, None] - first[None]).reshape(-1, count).T
    if not differences.any():
        return Difference(0.0, (0.0, 0.0), 1.0, units)
    value = float(mean_of_strata(differences, strata).mean())
    if units == 1:
        return Difference(value, None, None, units)
    drawn = stratified_means(differences, strata, clusters, resamples, seed).reshape(-1, len(second), len(first))
    rng = np.random.default_rng([seed, 1])
    shares = [rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), resamples) for runs in (second, first)]
    drawn = np.einsum('bij,bi,bj->b', drawn, *shares) / (len(second) * len(first))
    low, high = percentile_intervals(drawn[:, None])[0]
    aside = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(value, (float(low), float(high)), float(min(1.0, 2 * (aside + 1) / (resamples + 1))), units)
