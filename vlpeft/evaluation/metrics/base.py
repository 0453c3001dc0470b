"""A metric over several processes in which every sample counts exactly once.

MMEngine's own collection interleaves the ranks' lists and cuts the end off, which is right only if every rank
holds the same number of results in sampler order. Here results carry a key and are merged by it.
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric

from vlpeft.evaluation.functional import Interval

ALIKE = 'all samples score the same, or all belong to one file'


class Intervals(NamedTuple):
    """What is known of how far figures would move on another test set of the same kind.

    Attributes:
        found: 95 % intervals by name of the figure, in its own units.
        missing: Why there is none, by name of other figures.
        unit: What was resampled, for people: '160 files with 746 questions'.
    """

    found: dict[str, Interval]
    missing: dict[str, str]
    unit: str


class ExactlyOnceMetric(BaseMetric):
    """Base of metrics whose results are merged over all ranks by key.

    ``process`` of a subclass appends dicts of plain Python values (comparable with ``==``) to ``self.results``;
    together the ``key_fields`` of such a dict name the sample. Padding duplicates of distributed samplers are
    dropped, missing samples are an error. After :meth:`evaluate`, ``predictions`` holds the merged results, sorted
    by key, on every rank.

    Args:
        prefix: First part of the metric names. Defaults to ``default_prefix`` of the class.
    """

    key_fields: tuple[str, ...] = ('id',)

    def __init__(self, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.predictions: list[dict[str, Any]] = []

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the results of all ranks, check that each sample is there once, and compute the metrics.

        Args:
            size: Number of different samples of the whole set.

        Returns:
            ``{'<prefix>/<name>': value}``, the same on every rank.

        Raises:
            ValueError: If two results of one sample differ, or the number of samples is not ``size``, on every rank; or
                a metric is not finite.
        """
        parts = all_gather_object(self.results)
        self.results = []
        self.predictions = self._merge(parts, size)
        payload = [None]
        if is_main_process():
            metrics = self.compute_metrics(self.predictions)
            self._check_finite(metrics)
            payload = [{f'{self.prefix}/{name}' if self.prefix else name: value for name, value in metrics.items()}]
        broadcast_object_list(payload)
        return payload[0]

    def intervals(self) -> Intervals:
        """95 % bootstrap intervals of the figures of the last evaluation (:mod:`vlpeft.evaluation.functional`).

        They are computed when asked for, on the main process, from ``predictions``, and change no figure. Names are as
        those of :meth:`compute_metrics`, without the prefix. Without a method of its own a metric gives none.
        """
        return Intervals({}, {}, '')

    def _check_finite(self, metrics: Mapping[str, Any]) -> None:
        wrong = [
            f'{key}={value}' for key, value in metrics.items() if isinstance(value, Real) and not math.isfinite(value)
        ]
        if wrong:
            raise ValueError(
                f'{type(self).__name__}: {", ".join(wrong)} of {len(self.predictions)} samples, the first '
                f'of them {self.predictions[0]}; a metric must be a finite number'
            )

    def _merge(self, parts: list[list[dict]], size: int) -> list[dict]:
        name = type(self).__name__
        merged: dict[tuple, dict] = {}
        for result in (result for part in parts for result in part):
            key = tuple(result[field] for field in self.key_fields)
            known = merged.setdefault(key, result)
            if known != result:
                raise ValueError(f'{name}: two different results for one sample: {known} and {result}')
        if len(merged) < size:
            raise ValueError(f'{name}: {size - len(merged)} of {size} samples have no result')
        if len(merged) > size:
            raise ValueError(f'{name}: {len(merged)} samples have a result but the set holds {size}')
        return [merged[key] for key in sorted(merged)]


def files_of(results: Sequence[Mapping]) -> list[str] | None:
    """The file of each result, which its samples share and are resampled with; None unless each says its ``name``."""
    names = [result.get('name') for result in results]
    return None if None in names else names


def unit_of(files: Sequence[str] | None, count: int, what: str) -> str:
    """``Intervals.unit`` of ``count`` samples of which a file may have several."""
    if files is None or len(set(files)) == count:
        return f'{count:,} {what}'
    return f'{len(set(files)):,} files with {count:,} {what}'


def sort_out(intervals: Mapping[str, Interval | str | None], unit: str, scale: float = 1) -> Intervals:
    """:class:`Intervals` of those that are there, times ``scale``, and of the reasons of those that are not."""
    found = {name: (scale * ends[0], scale * ends[1]) for name, ends in intervals.items() if isinstance(ends, tuple)}
    return Intervals(found, {name: ends or ALIKE for name, ends in intervals.items() if name not in found}, unit)
