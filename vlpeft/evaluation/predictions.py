"""Predictions as JSON lines, one a sample, whatever the metric: to read, to sort by score, to score elsewhere."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def reader_names(result: Mapping[str, Any]) -> dict[str, Any]:
    """A sample's result with its fields called as in the file."""
    return {NAMES.get(field, field): value for field, value in result.items()}


def gallery_names(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, str]]:
    """What the ids under ``top`` of retrieval stand for: by direction, the name of each item that is searched.

    A clip that texts find is itself a query of the other direction, and so is a text: an item is called by its
    ``query_id`` there, so that each name and text is in a result once, however many queries find it.
    """
    names: dict[str, dict[int, str]] = dict(t2v={}, v2t={})
    for result in results:
        if 'direction' not in result:
            continue
        if 'file' in result:
            names['t2v'][result['query_id']] = result['file']
        elif 'query' in result:
            names['v2t'][result['query_id']] = result['query']
    return names


def prediction_rows(metrics: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """A row for each sample of each metric that keeps its predictions (:class:`ExactlyOnceMetric`).

    A row has ``metric``, the metric's prefix, the sample's ``question_id`` or ``sample_id`` and, where there are,
    ``question``, ``file``, ``truth``, ``prediction`` and ``score``, from 0 to 1; further fields as the metric keeps
    them, such as ``named`` of multiple choice and ``unreadable``. Of retrieval a row has ``direction``, ``query``, the
    text, or ``file``, ``truth``, ``rank``, and ``top``, clips or texts by name with their scores.
    """
    for metric in metrics:
        if isinstance(metric, ExactlyOnceMetric):
            names = gallery_names(metric.predictions)
            for result in metric.predictions:
                row = dict(metric=metric.prefix, **reader_names(result))
                if 'top' in row and row.get('direction') in names:
                    known = names[row['direction']]
                    row['top'] = [[known.get(item, item), score] for item, score in row['top']]
                yield row


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
