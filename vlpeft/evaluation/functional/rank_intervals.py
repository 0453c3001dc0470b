"""Bootstrap intervals of the figures of retrieval: queries are resampled, the gallery that they search is not."""

from collections.abc import Sequence

import numpy as np

from .intervals import RESAMPLES, Interval, percentile_intervals, replicates, unanimous_interval


def rank_intervals(
    ranks: Sequence[int],
    directions: Sequence[str],
    ks: Sequence[int],
    clusters: Sequence | None = None,
    folds: Sequence | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Intervals of recalls, of median and mean rank, and of means over the directions.

    Args:
        ranks: (n,) 1-based ranks of the queries of all directions.
        directions: (n,) direction of each.
        ks: List lengths of the recalls.
        clusters: (n,) what is drawn as a whole, across the directions: the clip that a query is, or that its text
            describes. Defaults to None: each query on its own, those of each direction apart.
        folds: (n,) each is resampled on its own, and the figures are means over them. Defaults to None.
        resamples: See :func:`replicates`.
        seed: See :func:`replicates`.

    Returns:
        In per cent, by ``{direction}_R@{k}``, ``{direction}_MdR``, ``{direction}_MnR``, ``mean_R@{first k}`` (mean over
        directions) and ``mean_R`` (mean of all recalls). A recall that no query is an exception of has
        :func:`unanimous_interval`; a median or mean rank of ranks that are all alike, and figures of one unit, None.
    """
    ranks, names = np.asarray(ranks, dtype=np.float64), list(dict.fromkeys(directions))
    code = np.array([names.index(direction) for direction in directions])
    clusters = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1].ravel()
    folds = np.zeros(len(ranks)) if folds is None else np.asarray(folds)
    parts = []
    for number, fold in enumerate(np.unique(folds)):
        own = folds == fold
        drawn = None if clusters is None else clusters[own]
        parts.append(_resampled(ranks[own], code[own], len(names), ks, drawn, resamples, seed + number))
    values = np.mean(parts, axis=0)
    # One number for each figure that is a mean of recalls: which recalls those are.
    recalls = {f'{name}_R@{k}': [(i, j)] for i, name in enumerate(names) for j, k in enumerate(ks)}
    recalls[f'mean_R@{ks[0]}'] = [(i, 0) for i in range(len(names))]
    recalls['mean_R'] = [(i, j) for i in range(len(names)) for j in range(len(ks))]
    units = [len(ranks[code == i] if clusters is None else np.unique(clusters[code == i])) for i in range(len(names))]
    found = {}
    for name, cells in recalls.items():
        hits = np.concatenate([ranks[code == i] <= ks[j] for i, j in cells])
        column = np.mean([values[:, i, j] for i, j in cells], axis=0)
        found[name] = _of_recall(hits, column, min(units[i] for i, _ in cells))
    for i, name in enumerate(names):
        for j, figure in enumerate(('MdR', 'MnR'), start=len(ks)):
            own = ranks[code == i]
            alike = (own == own[0]).all() or units[i] == 1
            found[f'{name}_{figure}'] = None if alike else _ends(values[:, i, j])
    return found


def _resampled(
    ranks: np.ndarray, code: np.ndarray, directions: int, ks: Sequence[int], clusters: np.ndarray | None, *draws: int
) -> np.ndarray:
    """(resamples, directions, len(ks) + 2)."""
    if clusters is None:
        parts = [
            replicates(ranks[code == i][:, None], lambda w, rows: _statistics(w, rows[:, 0], ks), None, draws[0], seed)
            for i, seed in enumerate(range(draws[1], draws[1] + directions))
        ]
        return np.stack(parts, axis=1)

    def figures(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        own = [rows[:, 0] == i for i in range(directions)]
        return np.concatenate([_statistics(weights[:, some], rows[some, 1], ks) for some in own], axis=1)

    values = replicates(np.stack([code, ranks], axis=1), figures, clusters, *draws)
    return values.reshape(len(values), directions, len(ks) + 2)


def _statistics(weights: np.ndarray, ranks: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """(b, len(ks) + 2): recalls, median and mean of sorted (u,) ranks drawn (b, u) times; NaN where none is drawn."""
    total = weights.sum(1)
    passed = weights.cumsum(1)
    with np.errstate(invalid='ignore'):
        recalls = [100 * weights[:, ranks <= k].sum(1) / total for k in ks]
        mean = weights @ ranks / total
    # The two middle ones, which are the same for an odd number.
    places = [(passed <= np.floor(half)[:, None]).sum(1) for half in ((total - 1) / 2, total / 2)]
    median = np.mean([ranks[np.minimum(place, len(ranks) - 1)] for place in places], axis=0)
    return np.stack([*recalls, np.where(total > 0, median, np.nan), mean], axis=1)


def _of_recall(hits: np.ndarray, column: np.ndarray, units: int) -> Interval | None:
    if (hits == hits[0]).all():
        low, high = unanimous_interval(float(hits[0]), units)
        return 100 * low, 100 * high
    return _ends(column) if units > 1 else None


def _ends(column: np.ndarray) -> Interval:
    low, high = percentile_intervals(column[:, None])[0]
    return float(low), float(high)
