"""What ``vlpeft test --out result.json`` found, held against the checkpoint that it is said to be of."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlpeft.checkpoint.hashing import file_sha256

from .errors import PublishError


@dataclass(frozen=True)
class Result:
    """Metrics of a test.

    Attributes:
        config: Name of the config that was tested, without folder and suffix.
        metrics: By name.
        intervals: 95 % intervals, low and high, by name of the metric; empty where the file has none.
        samples: Predictions by metric prefix.
        notes: What metrics say of themselves in words, such as the tokenizer of captions.
    """

    config: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def read_result(path: str | Path, checkpoint: str | Path) -> Result:
    """Reads a result.

    Args:
        path: ``result.json``.
        checkpoint: The file that it must be of.

    Raises:
        PublishError: It is no such file, is of another checkpoint, or holds numbers that are none.
        FileNotFoundError: There is no such file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise PublishError(f'{path} is no JSON ({error})') from None
    metrics = content.get('metrics') if isinstance(content, dict) else None
    if not isinstance(metrics, dict) or not metrics or not isinstance(content.get('checkpoint'), str):
        raise PublishError(f"{path} is no result of vlpeft test --out: it has no 'metrics' and 'checkpoint'")
    _check_checkpoint(str(path), content['checkpoint'], Path(checkpoint))
    notes = {name: value for name, value in metrics.items() if isinstance(value, str)}
    metrics = {name: value for name, value in metrics.items() if name not in notes}
    for name, value in metrics.items():
        if not _is_number(value):
            raise PublishError(f'{path}: metric {name!r} is {value!r}, no finite number')
    intervals, predictions = (_object(path, content, name) for name in ('intervals', 'predictions'))
    for name, ends in intervals.items():
        if name not in metrics:
            raise PublishError(f'{path}: there is an interval of {name!r}, and no such metric')
        if not (isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends)) and ends[0] <= ends[1]):
            raise PublishError(f'{path}: the interval of {name!r} is {ends!r}, not [low, high]')
    return Result(
        Path(str(content.get('config', ''))).stem,
        metrics,
        {name: (low, high) for name, (low, high) in intervals.items()},
        {name: len(found) for name, found in predictions.items() if isinstance(found, (list, dict))},
        notes,
    )


def _object(path: str | Path, content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name) or {}
    if not isinstance(value, dict):
        raise PublishError(f'{path}: {name!r} is no object, as vlpeft test --out writes it')
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_checkpoint(path: str, tested: str, checkpoint: Path) -> None:
    """By name, and by content where the tested file is still there."""
    same = Path(tested).name == checkpoint.name
    if same and Path(tested).is_file():
        same = file_sha256(tested) == file_sha256(checkpoint)
    if not same:
        raise PublishError(f'{path} is a result of {tested}, and {checkpoint} is to be published')
