"""Ranks and recall of retrieval, from a score matrix.

For query q with positives P(q) and scores s(q, g) over a gallery of G items, the rank of its best positive is

    rank(q) = 1 + #{ g not in P(q) : s(q, g) >= max_{p in P(q)} s(q, p) }

Ties count against the query: a model that gives every item the same score gets the worst rank there is, never
R@1 = 100. A tie among the positives of one query costs nothing. Scores that are not finite have no rank and are an
error.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

CHUNK_ELEMENTS = 2**24


def best_positive_ranks(
    scores: Tensor | np.ndarray, positives: Sequence[Sequence[int]], chunk_elements: int = CHUNK_ELEMENTS
) -> Tensor:
    """Rank of the best-scored positive of every query, ties pessimistic.

    Args:
        scores: (Q, G), higher is better; on any device, or a memory-mapped array.
        positives: For every query the gallery indices of its ground truths, at least one.
        chunk_elements: Upper bound of score entries looked at together: queries are taken in groups of ``chunk_elements
            // G`` (at least one). Defaults to 2**24 (some 100 MB of temporaries).

    Returns:
        (Q,) int64 on the CPU, from 1 to G.

    Raises:
        ValueError: If ``scores`` is not 2-D, the number of queries differs, a query has no positive, a positive lies
            outside of the gallery, or a score is not finite.
    """
    if scores.ndim != 2:
        raise ValueError(f'scores must be (queries, gallery), got shape {tuple(scores.shape)}')
    num_queries, gallery = scores.shape
    if len(positives) != num_queries:
        raise ValueError(f'scores hold {num_queries} queries but positives are given for {len(positives)}')
    ranks = torch.empty(num_queries, dtype=torch.long)
    rows_per_chunk = max(1, chunk_elements // max(1, gallery))
    for start in range(0, num_queries, rows_per_chunk):
        stop = min(start + rows_per_chunk, num_queries)
        chunk = torch.as_tensor(scores[start:stop])
        _check_finite(chunk, start)
        is_positive = _positive_mask(positives[start:stop], start, gallery).to(chunk.device)
        best = chunk.masked_fill(~is_positive, -torch.inf).amax(dim=1, keepdim=True)
        ahead = (chunk >= best) & ~is_positive
        ranks[start:stop] = 1 + ahead.sum(dim=1).cpu()
    return ranks


def best_positive_ranks_in_folds(
    scores: Tensor | np.ndarray,
    positives: Sequence[Sequence[int]],
    query_folds: Sequence[int],
    item_folds: Sequence[int],
) -> Tensor:
    """Rank of the best-scored positive of every query among the items of the query's own fold.

    COCO's 1k figures are the mean over five folds of its 5,000 test images, ranked by the scores of the whole set.

    Args:
        scores: (Q, G) as for :func:`best_positive_ranks`.
        positives: For every query the indices into the whole gallery of its ground truths, all in its fold.
        query_folds: (Q,) fold of every query.
        item_folds: (G,) fold of every gallery item.

    Returns:
        (Q,) int64 on the CPU, from 1 to the size of the query's fold.

    Raises:
        ValueError: As for :func:`best_positive_ranks`; a positive in another fold has index -1 in the message.
    """
    query_folds, item_folds = np.asarray(query_folds), np.asarray(item_folds)
    ranks = torch.empty(len(query_folds), dtype=torch.long)
    for fold in np.unique(query_folds):
        queries, items = np.flatnonzero(query_folds == fold), np.flatnonzero(item_folds == fold)
        place = np.full(len(item_folds), -1)
        place[items] = np.arange(len(items))
        inside = [place[list(positives[query])] for query in queries]
        ranks[torch.from_numpy(queries)] = best_positive_ranks(scores[queries][:, items], inside)
    return ranks


def _check_finite(chunk: Tensor, first_query: int) -> None:
    wrong = ~torch.isfinite(chunk)
    if wrong.any():
        query, item = wrong.nonzero()[0].tolist()
        raise ValueError(
            f'query {first_query + query} has the score {float(chunk[query, item])} for item {item}; '
            'scores must be finite numbers'
        )


def _positive_mask(positives: Sequence[Sequence[int]], first_query: int, gallery: int) -> Tensor:
    """Boolean (len(positives), gallery) mask; ``first_query`` only serves the error messages."""
    counts = torch.tensor([len(p) for p in positives])
    if (counts == 0).any():
        raise ValueError(f'query {first_query + int((counts == 0).nonzero()[0])} has no positive in the gallery')
    rows = torch.repeat_interleave(torch.arange(len(positives)), counts)
    columns = torch.from_numpy(np.concatenate([np.asarray(p, dtype=np.int64) for p in positives]))
    outside = (columns < 0) | (columns >= gallery)
    if outside.any():
        at = int(outside.nonzero()[0])
        raise ValueError(
            f'query {first_query + int(rows[at])} has positive {int(columns[at])}, '
            f'outside of the gallery of {gallery} items'
        )
    mask = torch.zeros(len(positives), gallery, dtype=torch.bool)
    mask[rows, columns] = True
    return mask


def recall_at_k(ranks: Tensor | np.ndarray | Sequence[int], k: int) -> float:
    """Share of queries whose best positive is among the first ``k``, in per cent.

    Args:
        ranks: (Q,) 1-based ranks.
        k: Length of the list that is looked at.
    """
    return float(100.0 * (_as_array(ranks) <= k).mean())


def median_rank(ranks: Tensor | np.ndarray | Sequence[int]) -> float:
    """Median of the 1-based ranks; the mean of the two middle ones for an even number of queries."""
    return float(np.median(_as_array(ranks)))


def mean_rank(ranks: Tensor | np.ndarray | Sequence[int]) -> float:
    """Mean of the 1-based ranks."""
    return float(_as_array(ranks).mean())


def rank_statistics(ranks: Tensor | np.ndarray | Sequence[int], ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """All figures of one direction: ``R@k`` (per cent) for every k, ``MdR`` and ``MnR``.

    Args:
        ranks: (Q,) 1-based ranks.
        ks: List lengths. Defaults to (1, 5, 10).

    Raises:
        ValueError: If there is no rank.
    """
    statistics = {f'R@{k}': recall_at_k(ranks, k) for k in ks}
    return {**statistics, 'MdR': median_rank(ranks), 'MnR': mean_rank(ranks)}


def _as_array(ranks: Tensor | np.ndarray | Sequence[int]) -> np.ndarray:
    array = np.asarray(ranks, dtype=np.float64)
    if array.size == 0:
        raise ValueError('no ranks given: there is no query to evaluate')
    return array
