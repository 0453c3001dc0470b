"""Text-video (or text-image) retrieval, both directions, from the rank of every query."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vlpeft.evaluation.functional import rank_intervals, rank_statistics
from vlpeft.registry import METRICS

from .base import ExactlyOnceMetric, Intervals, sort_out, unit_of

DIRECTIONS = ('t2v', 'v2t')
RECALLS = (1, 5, 10)
KEPT = ('query', 'file', 'truth', 'top', 'fold', 'fold_rank')


@METRICS.register_module()
class RetrievalMetric(ExactlyOnceMetric):
    """R@1/5/10, median and mean rank of text-to-video and video-to-text retrieval.

    A result is ``dict(direction='t2v' | 'v2t', query_id=int, rank=int)`` with a 1-based rank of the best ground truth.
    The metrics are ``{t2v,v2t}_{R@1,R@5,R@10,MdR,MnR}``, ``mean_R@1`` (mean of both directions) and ``mean_R``
    (mean of all six recalls); recalls are in per cent. If results say ``fold`` and ``fold_rank``, the rank among the
    items of the query's fold, ``{n}fold_…`` are the means over the n folds of the same figures (COCO's 1k protocol).

    Args:
        prefix (str): First part of the metric names. Defaults to 'retrieval'.
    """

    default_prefix = 'retrieval'
    key_fields = ('direction', 'query_id')

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the ranks of some queries.

        Args:
            data_batch: Not used.
            data_samples: Results as in the class docstring; of further keys ``KEPT`` are kept if there: ``query``, the
                text, or ``file``, the clip's name; ``truth``, names of the clips or texts that would be right; ``top``,
                the best gallery items, by the ``query_id`` that they have in the other direction, with their scores;
                ``fold`` and ``fold_rank``.

        Raises:
            ValueError: If a direction is unknown, a rank is smaller than 1, or a score under ``top`` is not finite.
        """
        for sample in data_samples:
            result = dict(direction=sample['direction'], query_id=int(sample['query_id']), rank=int(sample['rank']))
            if result['direction'] not in DIRECTIONS:
                raise ValueError(f'unknown retrieval direction in {result}, valid: {", ".join(DIRECTIONS)}')
            if result['rank'] < 1:
                raise ValueError(f'ranks start at 1, got {result}')
            if not all(math.isfinite(score) for _, score in sample.get('top', ())):
                raise ValueError(
                    f'{result["direction"]} query {result["query_id"]} has scores that are not finite: {sample["top"]}'
                )
            result.update({key: sample[key] for key in KEPT if key in sample})
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Metrics of both directions.

        Args:
            results: One result per query.

        Raises:
            ValueError: If a direction has no query.
        """
        metrics = _figures(results, 'rank')
        folds = {result['fold'] for result in results if 'fold' in result}
        if folds:
            figures = [
                _figures([result for result in results if result['fold'] == fold], 'fold_rank') for fold in folds
            ]
            metrics.update(
                {
                    f'{len(folds)}fold_{name}': float(np.mean([figure[name] for figure in figures]))
                    for name in figures[0]
                }
            )
        return metrics

    def intervals(self) -> Intervals:
        """Intervals of all figures. A clip is resampled with its texts, in both directions at once; where results do
        not say which clip is whose, queries are resampled on their own.
        """
        results = self.predictions
        clips = [clip_of(result) for result in results]
        known = None if None in clips else clips
        queries = [result['direction'] for result in results]
        ends = rank_intervals([result['rank'] for result in results], queries, RECALLS, known)
        folds = [result['fold'] for result in results if 'fold' in result]
        if folds:
            ranks = [result['fold_rank'] for result in results]
            inside = rank_intervals(ranks, queries, RECALLS, known, folds)
            ends.update({f'{len(set(folds))}fold_{name}': interval for name, interval in inside.items()})
        return sort_out(ends, unit_of(known, len(results), 'queries'))


def clip_of(result: Mapping) -> str | None:
    """Name of the clip that a query is, or that its text describes; None if the result does not say."""
    if result['direction'] == 'v2t':
        return result.get('file')
    return result['truth'][0] if result.get('truth') else None


def _figures(results: list[dict], key: str) -> dict[str, float]:
    """Figures of both directions from the ranks under ``key``."""
    metrics = {}
    for direction in DIRECTIONS:
        ranks = [result[key] for result in results if result['direction'] == direction]
        if not ranks:
            raise ValueError(f'no {direction} query among {len(results)} results: both directions are needed')
        for name, value in rank_statistics(ranks, RECALLS).items():
            metrics[f'{direction}_{name}'] = value
    metrics['mean_R@1'] = float(np.mean([metrics[f'{direction}_R@1'] for direction in DIRECTIONS]))
    metrics['mean_R'] = float(np.mean([metrics[f'{d}_R@{k}'] for d in DIRECTIONS for k in RECALLS]))
    return metrics
