"""Two results of ``tools/test.py --out`` on the same samples, side by side."""

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlpeft.datasets.annotations import read_json, read_jsonl
from vlpeft.datasets.records import entries
from vlpeft.nearest import suggestion

from .functional.paired import Difference, paired_difference
from .metrics.retrieval import RECALLS, clip_of
from .predictions import reader_names

IDS = ('query_id', 'question_id', 'sample_id')
WAYS = ('t2v', 'v2t')


class PairError(ValueError):
    """Results that cannot be compared; names the file."""


class Figure(NamedTuple):
    """A figure of one of the samples: its name, which samples have it, and its value of a sample in per cent."""

    name: str
    has: Callable[[Mapping], bool]
    value: Callable[[Mapping], float]


class Pair(NamedTuple):
    """What two models said about a sample, and their scores."""

    sample: Mapping[str, Any]
    first: Any
    second: Any
    scores: tuple[float, float]


class Comparison(NamedTuple):
    """A figure of two results.

    Attributes:
        figure: Its name, with the metric's prefix.
        first, second: Means.
        difference: Of the second less the first.
        better, worse: Samples whose score has risen and fallen, the largest changes first.
    """

    figure: str
    first: float
    second: float
    difference: Difference
    better: list[Pair]
    worse: list[Pair]


def read_result(path: Path) -> dict[str, list[dict]]:
    """Predictions by metric of a ``.json`` result or of ``.jsonl`` lines.

    Raises:
        PairError: It is none: a sample has no id, has one twice, or has a score or a rank that is none.
        AnnotationError: There is no such file, or it is no JSON.
    """
    found: dict[str, dict[tuple, dict]] = {}
    for metric, where, row in _rows(path):
        row = reader_names(row)
        _check(where, row)
        rows = found.setdefault(metric, {})
        if rows.setdefault(_key(row), row) is not row:
            raise PairError(f'{where}: the sample {_name(_key(row))} is there twice')
    return {metric: list(rows.values()) for metric, rows in found.items()}


def _rows(path: Path) -> Iterable[tuple[str, str, dict]]:
    """Metric, place for messages, and prediction."""
    if path.suffix == '.jsonl':
        for where, row in read_jsonl(str(path)):
            if not isinstance(row.get('metric'), str):
                raise PairError(f"{path} is no result of a test (--out): {where} has no 'metric'")
            yield row['metric'], where, row
        return
    content = read_json(str(path))
    predictions = content.get('predictions') if isinstance(content, dict) else None
    if not isinstance(predictions, dict):
        raise PairError(f"{path} is no result of a test (--out): it has no object 'predictions'")
    for metric, rows in predictions.items():
        for where, row in entries(f'{path}: predictions of {metric!r}', rows):
            yield metric, where, row


def _check(where: str, row: Mapping) -> None:
    if not any(name in row for name in IDS):
        raise PairError(f'{where} has no id: none of {", ".join(IDS)}')
    if 'rank' in row:
        if row.get('direction') not in WAYS:
            raise PairError(f'{where}: direction is {row.get("direction")!r}, not one of {", ".join(WAYS)}')
        if not (_is_number(row['rank']) and row['rank'] >= 1):
            raise PairError(f'{where}: rank is {row["rank"]!r}, not a number from 1')
    scores = row.get('scores', {})
    if not isinstance(scores, dict):
        raise PairError(f'{where}: scores is {scores!r}, not an object of numbers')
    for name, value in (*scores.items(), *((name, row[name]) for name in ('score',) if name in row)):
        if not _is_number(value):
            raise PairError(f'{where}: {name} is {value!r}, not a finite number')


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def compare(first: Path, second: Path, names: Iterable[str] | None = None) -> list[Comparison]:
    """Compares the figures of two results.

    Args:
        first: File of one model.
        second: File of the other.
        names: Figures, such as ``retrieval/t2v_R@1``. Defaults to None, all that samples have.

    Raises:
        PairError: The files are of different samples or metrics, or have no such figure.
    """
    results = [read_result(path) for path in (first, second)]
    metrics = [metric for metric in results[0] if metric in results[1]]
    if not metrics:
        has = [', '.join(result) or 'no predictions' for result in results]
        raise PairError(f'nothing to compare: {first} has {has[0]}, {second} has {has[1]}')
    found = [one for metric in metrics for one in _compare(metric, (first, second), [r[metric] for r in results])]
    if not found:
        raise PairError(f'{first}: its samples have no scores of their own')
    if names is None:
        return found
    known = {one.figure: one for one in found}
    for name in names:
        if name not in known:
            raise PairError(f'no sample has {name!r}{suggestion(name, known)}')
    return [known[name] for name in names]


def sample_scores(path: Path, figure: str, value: float) -> tuple[list[str], list[str | None], list[float]] | None:
    """What a figure of a result is the mean of.

    Args:
        path: File of the result.
        figure: Its name, such as ``retrieval/mean_R`` or ``open_ended/accuracy``.
        value: The figure, in per cent.

    Returns:
        Name of each sample, the unit that it belongs to (None where files are not known), and its score in per cent;
        None where the figure is no mean over samples.
    """
    metric, _, name = figure.rpartition('/')
    rows = read_result(path).get(metric, [])
    for one in _figures(metric, [(row, row) for row in rows]) if rows else ():
        if one.name not in (name, 'score'):
            continue
        kept = [row for row in rows if one.has(row)]
        scores = [one.value(row) for row in kept]
        # Scores of captions are kept with two decimals; what is called 'score' is known by its mean alone.
        tolerance = 0.005 if one.name == name else 1e-6
        if math.isclose(sum(scores) / len(scores), value, rel_tol=1e-6, abs_tol=tolerance):
            return [_name(_key(row)) for row in kept], [_unit(row) for row in kept], scores
    return None


def _compare(metric: str, paths: tuple[Path, Path], rows: list[list[dict]]) -> Iterable[Comparison]:
    by_key = [{_key(row): row for row in one} for one in rows]
    if by_key[0].keys() != by_key[1].keys():
        apart = next(iter(by_key[0].keys() ^ by_key[1].keys()))
        there = paths[0] if apart in by_key[0] else paths[1]
        raise PairError(f'{metric}: only {there} has the sample {_name(apart)}: other data was tested')
    samples = [(one, by_key[1][key]) for key, one in by_key[0].items()]
    for one, other in samples:
        if one.get('truth', other.get('truth')) != other.get('truth', one.get('truth')):
            raise PairError(
                f'{metric}: {paths[0]} and {paths[1]} have different truths of the sample {_name(_key(one))}'
            )
    for figure in _figures(metric, samples):
        pairs = [(one, other) for one, other in samples if figure.has(one) and figure.has(other)]
        scores = np.array([[figure.value(one), figure.value(other)] for one, other in pairs])
        units = [_unit({**other, **one}) for one, other in pairs]
        difference = paired_difference(*scores.T, None if None in units else units)
        change = scores[:, 1] - scores[:, 0]
        order = np.argsort(-np.abs(change), kind='stable')
        shown = [Pair(pairs[i][0], _said(pairs[i][0]), _said(pairs[i][1]), tuple(scores[i])) for i in order]
        yield Comparison(
            f'{metric}/{figure.name}',
            *scores.mean(0).tolist(),
            difference,
            [pair for pair in shown if pair.scores[1] > pair.scores[0]],
            [pair for pair in shown if pair.scores[1] < pair.scores[0]],
        )


def _figures(metric: str, samples: list[tuple[dict, dict]]) -> Iterable[Figure]:
    """Figures that are means over samples."""
    first = samples[0][0]
    if 'rank' in first:
        for way in WAYS:
            for k in RECALLS:
                yield Figure(
                    f'{way}_R@{k}',
                    lambda row, way=way: row.get('direction') == way,
                    lambda row, k=k: 100.0 * (row['rank'] <= k),
                )
        asked = [sum(row.get('direction') == way for row, _ in samples) for way in WAYS]
        if asked[0] == asked[1]:  # else a mean of both ways is none over queries
            for name, recalls in (('mean_R@1', (1,)), ('mean_R', RECALLS)):
                yield Figure(
                    name,
                    lambda row: True,
                    lambda row, recalls=recalls: 100.0 * sum(row['rank'] <= k for k in recalls) / len(recalls),
                )
        return
    if any('score' in row for row, _ in samples):
        yield Figure('score', lambda row: 'score' in row, lambda row: 100.0 * row['score'])
    for name in sorted({name for row, _ in samples for name in row.get('scores', ())}):
        yield Figure(
            name, lambda row, name=name: name in row.get('scores', ()), lambda row, name=name: row['scores'][name]
        )


def _key(row: Mapping) -> tuple:
    return (row.get('direction', ''), *(str(row[name]) for name in IDS if name in row))


def _name(key: tuple) -> str:
    return '/'.join(filter(None, key))


def _unit(row: Mapping) -> str | None:
    return clip_of(row) if 'rank' in row else row.get('file')


def _said(row: Mapping) -> Any:
    return f'rank {row["rank"]}' if 'rank' in row else row.get('prediction')
