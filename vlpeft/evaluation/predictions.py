"""Predictions as JSON lines, one a sample, whatever the metric: to read, to sort by score, to score elsewhere."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vlpeft.atomic import write_atomically

from .metrics import ExactlyOnceMetric

#: What the fields of metrics are called in the file; others keep their names.
NAMES = dict(
    name='file',
    gold='truth',
    label='truth',
    references='truth',
    answer='prediction',
    caption='prediction',
)


def prediction_rows(metrics: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """A row for each sample of each metric that keeps its predictions (:class:`ExactlyOnceMetric`).

    A row has ``metric``, the metric's prefix, the sample's ``question_id`` or ``sample_id`` and, where there are,
    ``question``, ``file``, ``truth``, ``prediction`` and ``score``, from 0 to 1; further fields as the metric keeps
    them, such as ``named`` of multiple choice and ``unreadable``.
    """
    for metric in metrics:
        if isinstance(metric, ExactlyOnceMetric):
            for result in metric.predictions:
                yield dict(metric=metric.prefix, **{NAMES.get(field, field): value for field, value in result.items()})


def write_predictions(path: str | Path, metrics: Iterable[Any]) -> int:
    """Write the rows of :func:`prediction_rows`, one JSON object a line, the whole file or nothing.

    Args:
        path: Of the file; its folder is made.
        metrics: Metrics after their evaluation.

    Returns:
        Number of rows.
    """
    lines = [json.dumps(row, ensure_ascii=False) for row in prediction_rows(metrics)]
    write_atomically(path, lambda part: Path(part).write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8'))
    return len(lines)
