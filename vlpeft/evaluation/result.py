"""What a test leaves behind for readers and programs: figures, their intervals, and every prediction."""

from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.fileio import dump

from vlpeft.atomic import write_atomically

from .metrics import ExactlyOnceMetric

A_COUNT = 'a count, not an estimate'
NOT_KNOWN = 'this metric has none'


def result_of(
    config: str,
    checkpoint: str,
    figures: Mapping[str, Any],
    metrics: Iterable[Any],
    run: Mapping[str, Any],
    left_out: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """The result of a test, in plain values.

    Args:
        config: Name or file of the config.
        checkpoint: Path or URL, or 'none'.
        figures: What the test returned.
        metrics: Metrics after their evaluation.
        run: What else is known of the run: date, versions, data.
        left_out: Files that could not be read and are in no prediction: by prefix, name and reason. Defaults to None.

    Returns:
        ``config``, ``checkpoint``, ``metrics``, ``predictions`` by the prefix of their metric, ``run``, and
        ``left_out`` if there is something.
    """
    predictions = {metric.prefix: metric.predictions for metric in metrics if hasattr(metric, 'predictions')}
    result = dict(config=config, checkpoint=checkpoint, metrics=dict(figures), predictions=predictions, run=dict(run))
    return dict(result, left_out=left_out) if left_out else result


def add_intervals(result: dict[str, Any], metrics: Iterable[Any]) -> None:
    """Adds ``intervals``, ``{metric: [low, high]}``, to a result, ``no_intervals``, ``{metric: why}``, for the other
    figures, and ``resampled``, by prefix what was drawn.

    Args:
        result: Of :func:`result_of`.
        metrics: The same metrics, on the main process.
    """
    found: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    units: dict[str, str] = {}
    for metric in metrics:
        if isinstance(metric, ExactlyOnceMetric):
            before = f'{metric.prefix}/' if metric.prefix else ''
            intervals = metric.intervals()
            found.update({before + name: list(ends) for name, ends in intervals.found.items()})
            missing.update({before + name: why for name, why in intervals.missing.items()})
            if intervals.unit:
                units[metric.prefix] = intervals.unit
    for name, value in result['metrics'].items():
        if name not in found and name not in missing and isinstance(value, Real):
            missing[name] = A_COUNT if isinstance(value, int) else NOT_KNOWN
    result.update(intervals=found, no_intervals=missing, resampled=units)


def write_result(path: str | Path, result: Mapping[str, Any]) -> None:
    """Writes a result as JSON, the whole file or nothing; its folder is made."""
    write_atomically(path, lambda part: dump(result, part, file_format='json'))
