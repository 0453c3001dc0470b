"""What the records of a study say, as rows: the same records give the same text, bit for bit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .study import Study, StudyError

HEADS = (
    'method',
    'seeds',
    'score',
    '95 % interval',
    'lowest to highest seed',
    'trained',
    'trained %',
    's/step',
    'memory MiB',
    'bytes',
    'learning rate',
)


#: Columns up to all that is said of the score; further figures come behind.
OF_SCORE = HEADS.index('lowest to highest seed') + 1


def rows_of(study: Study, records: Mapping[str, Sequence[Mapping]]) -> list[dict[str, Any]]:
    """One row a method, in the study's order, from :func:`vlpeft.comparison.record.read_records`.

    ``score`` is the mean over the seeds; ``low`` and ``high`` are the means of the ends of the seeds' intervals, which
    say how sure the figure is for other test samples; ``lowest`` and ``highest`` are of the seeds, which say how much
    chance in training matters. Seconds are medians; memory is the most of all seeds, of the device or, on a CPU, of the
    process.

    Raises:
        StudyError: A record lacks the study's metric, or a method's records are of several configs.
    """
    return [_row(study, name, found) for name, found in records.items()]


def _row(study: Study, name: str, records: Sequence[Mapping]) -> dict[str, Any]:
    configs = {
        (record['run_info']['train_config']['config'], record['run_info']['train_config']['learning_rate'])
        for record in records
    }
    if len(configs) > 1:
        raise StudyError(f'{study.name}: the records of {name} are of {len(configs)} configs or learning rates')
    missing = [record for record in records if study.metric not in record['metrics']]
    if missing:
        there = ', '.join(missing[0]['metrics'])
        raise StudyError(f'{missing[0]["run_info"]["experiment_name"]} has no {study.metric}; it has {there}')
    scores = [record['metrics'][study.metric] for record in records]
    ends = [record['intervals'][study.metric] for record in records if study.metric in record['intervals']]
    info = [record['train_info'] for record in records]
    seconds = [one['seconds_per_step'] for one in info if one['seconds_per_step'] is not None]
    memory = [one['accelerator_memory_max'] or one['resident_memory_max'] for one in info]
    memory = [value for value in memory if value is not None]
    return dict(
        method=name,
        title=study.methods[name].title,
        seeds=[record['run_info']['train_config']['seed'] for record in records],
        score=float(np.mean(scores)),
        low=float(np.mean([low for low, _ in ends])) if ends else None,
        high=float(np.mean([high for _, high in ends])) if ends else None,
        lowest=min(scores),
        highest=max(scores),
        also={name: _mean(records, name) for name in study.also},
        trained=info[0]['num_trainable_params'],
        total=info[0]['num_total_params'],
        percent=100 * info[0]['num_trainable_params'] / info[0]['num_total_params'],
        seconds_per_step=float(np.median(seconds)) if seconds else None,
        memory=max(memory) if memory else None,
        file_size=info[0]['file_size'],
        learning_rate=records[0]['run_info']['train_config']['learning_rate'],
    )


def _mean(records: Sequence[Mapping], name: str) -> float | None:
    """Mean of a figure over the seeds; None where there is none, as for guesses, which answer one task."""
    found = [record['metrics'].get(name) for record in records]
    return None if None in found else float(np.mean(found))


def short_name(figure: str) -> str:
    """What a figure is called in a table's head."""
    return figure.rpartition('/')[2]


def to_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table in Markdown, numbers to the right."""
    heads = [*HEADS[:OF_SCORE], *map(short_name, rows[0]['also']), *HEADS[OF_SCORE:]]
    lines = [heads, ['---', *['---:'] * (len(heads) - 1)], *map(_cells, rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = [
        row['title'],
        ', '.join(map(str, row['seeds'])),
        f'{row["score"]:.1f}',
        '–' if row['low'] is None else f'{row["low"]:.1f} to {row["high"]:.1f}',
        '–' if len(row['seeds']) < 2 else f'{row["lowest"]:.1f} to {row["highest"]:.1f}',
        f'{row["trained"]:,}',
        f'{row["percent"]:.2f}',
        '–' if row['seconds_per_step'] is None else f'{row["seconds_per_step"]:.2f}',
        '–' if row['memory'] is None else f'{row["memory"] / 2**20:,.0f}',
        f'{row["file_size"]:,}',
        '–' if row['learning_rate'] is None else f'{row["learning_rate"]:g}',
    ]
    also = ['–' if value is None else f'{value:.1f}' for value in row['also'].values()]
    return [*cells[:OF_SCORE], *also, *cells[OF_SCORE:]]
