"""The page of a study: table, pictures and JSON, made of its records alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlpeft.visualization.comparison import draw_costs, draw_learning, draw_scores

from . import differences
from .study import Study
from .table import rows_of, short_name, to_markdown


def write_page(study: Study, records: Mapping[str, Sequence[Mapping]], folder: Path) -> list[Path]:
    """Writes ``{study}.md``, ``{study}.json`` and the pictures ``{study}_{scores,learning,costs}.svg``.

    Returns:
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, pairs = rows_of(study, records), differences.differences_of(study, records)
    pictures = {name: folder / f'{study.name}_{name}.svg' for name in ('scores', 'learning', 'costs')}
    draw_scores(pictures['scores'], rows, study.metric)
    curves = {
        study.methods[name].title: [
            (curve['steps'], curve['values'])
            for record in found
            for curve in record['train_info']['metrics']
            if curve['name'] == study.metric
        ]
        for name, found in records.items()
    }
    draw_learning(pictures['learning'], {title: seeds for title, seeds in curves.items() if seeds}, study.metric)
    draw_costs(pictures['costs'], rows)
    page, data = folder / f'{study.name}.md', folder / f'{study.name}.json'
    page.write_text(_page(study, records, rows, pairs, pictures), encoding='utf-8')
    data.write_text(
        json.dumps(_rounded(dict(methods=rows, pairs=pairs)), indent=1, ensure_ascii=False) + '\n', encoding='utf-8'
    )
    return [page, data, *pictures.values()]


def _page(
    study: Study,
    records: Mapping,
    rows: Sequence[Mapping],
    pairs: Sequence[Mapping],
    pictures: Mapping[str, Path],
) -> str:
    commits = sorted({_commit(record) for found in records.values() for record in found})
    missing = [method.title for name, method in study.methods.items() if name not in records]
    also = ''.join(f'; {short_name(name)}: `{name}`' for name in study.also)
    lines = [
        f'# {study.title}\n',
        f'{study.question}\n' if study.question else '',
        to_markdown(rows),
        f'Score: `{study.metric}`{also}; means over the seeds. Records: commit {", ".join(commits)}.\n',
        f'Not run yet: {", ".join(missing)}.\n' if missing else '',
        *_differences(study, pairs),
        '## Pictures\n',
        f'![Score against the share of trained parameters]({pictures["scores"].name})\n',
        f'![Learning curves on the validation set]({pictures["learning"].name})\n',
        f'![Seconds of a training step and memory]({pictures["costs"].name})\n',
    ]
    return '\n'.join(filter(None, lines))


def _rounded(value: Any) -> Any:
    """With six decimals: further ones depend on the order in which a machine adds."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def _differences(study: Study, pairs: Sequence[Mapping]) -> list[str]:
    if not pairs:
        told = 'Differences of single samples are not told: the score is no mean over samples, or a run is missing.\n'
        return [told] if study.pairs else []
    titles = {name: method.title for name, method in study.methods.items()}
    return [
        '## Differences\n',
        differences.to_markdown(pairs, titles),
        "Of the score, each sample's mean over the seeds; paired bootstrap over "
        f"{pairs[0]['units']:,} independent units and the methods' seeds. Holm's p allows for the number of "
        'differences.\n',
    ]


def _commit(record: Mapping) -> str:
    commit = (record['run_info']['commit'] or 'unknown')[:8]
    return f'{commit} with changes' if record['run_info']['dirty'] else commit
