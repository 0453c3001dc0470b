"""Percentile bootstrap intervals of the figures of a test set (Efron & Tibshirani, 1993, chapter 13).

What is independent is drawn with replacement, as many units as there are, the figure is computed of what was drawn, and
this is repeated; the interval holds the middle 95 % of what comes out. The units are the samples or, where several
samples belong together (questions about one picture, captions of one clip), their clusters, which are drawn as a whole:
resampling such samples one by one would give intervals that are too narrow.

    x*_b = figure(units drawn b-th),   interval = [quantile_2.5%(x*), quantile_97.5%(x*)]

Where every unit scores 0, or every one 1, nothing that is drawn differs, and the bootstrap would claim certainty. There
the bound of Clopper and Pearson takes its place: of m units without an exception, [(0.05 / 2)^(1 / m), 1].
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

LEVEL = 0.95
RESAMPLES = 1000
#: Weights that are held at a time, some 30 MB.
CHUNK_ELEMENTS = 2**22

Interval = tuple[float, float]
Draw = Callable[[np.random.Generator, int], np.ndarray]
#: (b, u) times that each of u kinds of rows was drawn, and (u, k) the kinds, to (b, f) figures.
Figures = Callable[[np.ndarray, np.ndarray], np.ndarray]


def replicates(
    rows: np.ndarray, figures: Figures, clusters: Sequence | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """Figures of resampled sets.

    Args:
        rows: (n, k), what the figures need to know of each of n samples.
        figures: Called with (b, u) weights and (u, k) different rows, sorted as by ``numpy.unique``; a weight is how
            often such a row was drawn. Returns (b, f), NaN where what was drawn has no figure.
        clusters: (n,) names of what is drawn as a whole. Defaults to None, each sample on its own.
        resamples: Number of resampled sets. Defaults to 1000.
        seed: Of the draws. Defaults to 0.

    Returns:
        (resamples, f).

    Raises:
        ValueError: There is no sample, or not one cluster name for each.
    """
    rows = np.asarray(rows, dtype=np.float64)
    if not len(rows):
        raise ValueError('no sample is given: there is nothing to resample')
    if clusters is not None and len(clusters) != len(rows):
        raise ValueError(f'{len(rows)} samples, but the clusters of {len(clusters)} are given')
    kinds, kind = np.unique(rows, axis=0, return_inverse=True)
    draw = _drawer(kind.ravel(), len(kinds), clusters)
    rng = np.random.default_rng(seed)
    size = max(1, CHUNK_ELEMENTS // len(rows))
    parts = [figures(draw(rng, min(size, resamples - at)), kinds) for at in range(0, resamples, size)]
    return np.concatenate(parts)


def _drawer(kind: np.ndarray, kinds: int, clusters: Sequence | None) -> Draw:
    """A function from (generator, b) to (b, kinds) weights."""
    if clusters is None or len(set(clusters)) == len(kind):
        if kinds <= len(kind) // 4:  # samples that are alike need not be told apart
            shares = np.bincount(kind, minlength=kinds) / len(kind)
            return lambda rng, count: rng.multinomial(len(kind), shares, size=count).astype(np.float64)
        member, units = np.arange(len(kind)), len(kind)
    else:
        names, member = np.unique(np.asarray(clusters), return_inverse=True)
        units = len(names)
    order = np.argsort(kind, kind='stable')
    member, starts = member.ravel()[order], np.searchsorted(kind[order], np.arange(kinds))

    def draw(rng: np.random.Generator, count: int) -> np.ndarray:
        drawn = rng.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        return np.add.reduceat(times[:, member], starts, axis=1).astype(np.float64)

    return draw


def stratified_means(
    scores: np.ndarray,
    strata: Sequence,
    clusters: Sequence | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Resampled means of the strata's mean scores, such as the mean over tasks: each stratum is drawn on its own, with
    as many units as it has.

    Args:
        scores: (n, k), k scores of each sample.
        strata: (n,) name of the stratum of each.
        clusters: See :func:`replicates`; none has samples of two strata.
        resamples: See :func:`replicates`.
        seed: See :func:`replicates`.

    Returns:
        (resamples, k).

    Raises:
        ValueError: There is no sample, or not one stratum and one cluster for each.
    """
    scores, strata = np.asarray(scores, dtype=np.float64), np.asarray(strata)
    if len(strata) != len(scores):
        raise ValueError(f'{len(scores)} samples, but the strata of {len(strata)} are given')
    names = None if clusters is None else np.asarray(clusters)

    def mean(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return (weights @ rows) / weights.sum(1, keepdims=True)

    drawn = [
        replicates(scores[inside], mean, None if names is None else names[inside], resamples, seed + place)
        for place, inside in enumerate(strata == name for name in dict.fromkeys(strata.tolist()))
    ]
    if not drawn:
        raise ValueError('no sample is given: there is nothing to resample')
    return np.mean(drawn, axis=0)


def mean_of_strata(scores: np.ndarray, strata: Sequence) -> np.ndarray:
    """(k,) mean of the strata's mean scores, of (n, k) scores and (n,) strata."""
    strata = np.asarray(strata)
    return np.mean([scores[strata == name].mean(0) for name in dict.fromkeys(strata.tolist())], axis=0)


def percentile_intervals(values: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """(f, 2) lower and upper end of the middle ``level`` of (resamples, f) figures; NaN is passed over.

    Args:
        values: Of :func:`replicates`.
        level: Defaults to 0.95.
    """
    outside = 100 * (1 - level) / 2
    return np.nanpercentile(values, [outside, 100 - outside], axis=0).T


def unanimous_interval(share: float, units: int, level: float = LEVEL) -> Interval:
    """Clopper and Pearson's interval of a share of 0 or 1: no unit is an exception.

    Args:
        share: 0 or 1.
        units: Independent units.
        level: Defaults to 0.95.
    """
    bound = ((1 - level) / 2) ** (1 / units)
    return (bound, 1.0) if share == 1 else (0.0, 1 - bound)


def mean_intervals(
    scores: Sequence[float],
    groups: Mapping[str, np.ndarray],
    clusters: Sequence | None = None,
    are_shares: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Intervals of the mean score of each group of samples.

    Args:
        scores: (n,) one for each sample.
        groups: By name (n,) which samples belong to the group, boolean; a sample may be in several.
        clusters: See :func:`replicates`.
        are_shares: Whether scores are from 0 to 1, so that :func:`unanimous_interval` holds. Defaults to True.
        resamples: See :func:`replicates`.
        seed: See :func:`replicates`.

    Returns:
        The interval of each group; None where the data says nothing about it: all scores are alike (and neither 0 nor
        1), or all samples of the group are in one cluster.

    Raises:
        ValueError: There is no sample, a group is empty, or not one cluster name for each sample.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not len(scores):
        raise ValueError('no sample is given: there is nothing to resample')
    members = np.stack([np.asarray(group, dtype=bool) for group in groups.values()], axis=1)
    empty = [name for name, some in zip(groups, members.any(0)) if not some]
    if empty:
        raise ValueError(f'no sample belongs to {", ".join(empty)}')
    # Which groups a sample is in is one number of its row, however many there are.
    patterns, pattern = np.unique(members, axis=0, return_inverse=True)

    def figures(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        inside = patterns[rows[:, 1].astype(int)].astype(np.float64)
        with np.errstate(invalid='ignore'):
            return (weights @ (inside * rows[:, :1])) / (weights @ inside)

    rows = np.stack([scores, pattern.ravel()], axis=1)
    found = percentile_intervals(replicates(rows, figures, clusters, resamples, seed))
    units = np.arange(len(scores)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    return {
        name: _of_mean(scores[inside], len(np.unique(units.ravel()[inside])), ends, are_shares)
        for name, inside, ends in zip(groups, members.T, found)
    }


def _of_mean(scores: np.ndarray, units: int, ends: np.ndarray, are_shares: bool) -> Interval | None:
    if (scores == scores[0]).all():
        return unanimous_interval(scores[0], units) if are_shares and scores[0] in (0, 1) else None
    return (float(ends[0]), float(ends[1])) if units > 1 else None
