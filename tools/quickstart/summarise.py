"""Prints one table of several runs and writes it as summary.md and summary.json.

RUNS is a JSON list of {"name", "metrics_file", "config", "checkpoint", "seconds"}: the result of tools/test.py --out,
the config, the checkpoint of the run (null when nothing was trained) and how long it trained. File names are relative
to the working directory.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

import vlpeft  # noqa: F401  fills the registries
from vlpeft.apis.build import empty_model
from vlpeft.engine.messages import run_main
from vlpeft.engine.plain_console import plain_console
from vlpeft.models.parameters import count_parameters

DIRECTIONS = ('t2v', 'v2t')
RECALLS = ('R@1', 'R@5', 'R@10')


def read_run(run: dict) -> dict:
    """One row: the run's recalls, trainable share, checkpoint bytes and seconds."""
    metrics = json.loads(Path(run['metrics_file']).read_text())['metrics']
    counts = count_parameters(empty_model(run['config']))
    trained = run['checkpoint'] is not None
    row = dict(name=run['name'])
    for direction in DIRECTIONS:
        for recall in RECALLS:
            row[f'{direction}_{recall}'] = metrics[f'retrieval/{direction}_{recall}']
    row['mean_R@1'] = metrics['retrieval/mean_R@1']
    row['trainable'] = counts['trainable'] if trained else 0
    row['percent'] = counts['percent'] if trained else 0.0
    row['checkpoint_bytes'] = Path(run['checkpoint']).stat().st_size if trained else 0
    row['seconds'] = run['seconds']
    return row


def cells(row: dict) -> list[str]:
    """The row as text, in the order of :func:`headings`."""
    recalls = [f'{row[f"{direction}_{recall}"]:.1f}' for direction in DIRECTIONS for recall in RECALLS]
    return [
        row['name'],
        *recalls,
        f'{row["mean_R@1"]:.1f}',
        f'{row["trainable"]:,}',
        f'{row["percent"]:.2f}',
        f'{row["checkpoint_bytes"]:,}',
        f'{row["seconds"]:.0f}',
    ]


def headings() -> list[str]:
    """Column names; t2v is text to clip, v2t clip to text."""
    recalls = [f'{direction} {recall}' for direction in DIRECTIONS for recall in RECALLS]
    return ['run', *recalls, 'mean R@1', 'trainable', 'trainable %', 'checkpoint bytes', 'seconds']


def to_markdown(rows: list[dict]) -> str:
    """The table in Markdown, numbers to the right."""
    names = headings()
    lines = [names, ['---'] + ['---:'] * (len(names) - 1)] + [cells(row) for row in rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def print_table(rows: list[dict]) -> None:
    """Print the table; the best value of every recall is bold."""
    table = Table(title='Video-text retrieval (t2v: text to clip, v2t: clip to text)', box=SIMPLE_HEAD, padding=(0, 1))
    for i, name in enumerate(headings()):
        table.add_column(name.replace(' ', '\n', 1), justify='right' if i else 'left', no_wrap=True)
    lines = [cells(row) for row in rows]
    best = [max(float(value) for value in column) for column in list(zip(*lines))[1:8]]
    for line in lines:
        recalls = [Text(v, 'bold' if float(v) == top else '') for v, top in zip(line[1:8], best)]
        table.add_row(line[0], *recalls, *line[8:])
    # A log file has no width; the table needs about 110 columns.
    plain_console(120).print(table)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', type=Path, help='JSON list of runs')
    parser.add_argument('out', type=Path, help='folder for summary.md and summary.json')
    args = parser.parse_args(argv)
    rows = [read_run(run) for run in json.loads(args.runs.read_text())]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / 'summary.md').write_text(to_markdown(rows))
    (args.out / 'summary.json').write_text(json.dumps(rows, indent=1) + '\n')
    print_table(rows)


if __name__ == '__main__':
    sys.exit(run_main(main))
