"""Paired differences between the methods of a study, on the test samples that all of them have answered.

    d = mean over samples of (score of the second - score of the first), each the mean over the seeds;
    its interval is of samples, and of each method's seeds, drawn with replacement
    p by Holm: of m differences in order of their p, the i-th is max over j <= i of min(1, (m - j + 1) p_j)

Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics, 1979.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vlpeft.evaluation.functional.paired import paired_difference

from .study import Study, StudyError

HEADS = ('second', 'less the first', 'difference', '95 % interval', 'p', 'p (Holm)')


def differences_of(study: Study, records: Mapping[str, Sequence[Mapping]]) -> list[dict[str, Any]]:
    """One row for each of the study's pairs whose records are there; none where the figure is no mean over samples.

    Raises:
        StudyError: Records of a pair are of different samples.
    """
    rows = []
    for first, second in study.pairs:
        if is_paired(records.get(first, ())) and is_paired(records.get(second, ())):
            scores, units, strata = _scores(study, records[first], records[second])
            value, interval, p_value, count = paired_difference(*scores, units, strata=strata)
            low, high = interval or (None, None)
            rows.append(
                dict(first=first, second=second, difference=value, low=low, high=high, p_value=p_value, units=count)
            )
    for row, adjusted in zip(rows, holm([row['p_value'] for row in rows])):
        row['p_holm'] = adjusted
    return rows


def is_paired(records: Sequence[Mapping]) -> bool:
    """Whether there are records, and all have the scores of their samples."""
    return bool(records) and all(record.get('samples') for record in records)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's p of each, in the given order; None where there is no p."""
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    found, largest = [None] * len(p_values), 0.0
    for before, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - before) * p))
        found[place] = largest
    return found


def to_markdown(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """The table in Markdown, numbers to the right."""
    lines = [list(HEADS), ['---', '---', *['---:'] * (len(HEADS) - 2)]]
    for row in rows:
        told = '–' if row['low'] is None else f'{row["low"]:+.1f} to {row["high"]:+.1f}'
        p_values = ['–' if row[name] is None else f'{row[name]:.4f}' for name in ('p_value', 'p_holm')]
        lines.append([titles[row['second']], titles[row['first']], f'{row["difference"]:+.1f}', told, *p_values])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def _scores(
    study: Study, first: Sequence[Mapping], second: Sequence[Mapping]
) -> tuple[list[np.ndarray], list[int] | None, list[int] | None]:
    samples = [[record['samples'] for record in found] for found in (first, second)]
    if len({one['sha256'] for found in samples for one in found}) > 1:
        names = ' and '.join(found[0]['run_info']['experiment_name'] for found in (first, second))
        raise StudyError(f'{study.name}: {names} cannot be paired: they were tested on different samples')
    scores = [np.array([one['scores'] for one in found]) for found in samples]
    return scores, samples[0][0]['units'], samples[0][0].get('strata')
