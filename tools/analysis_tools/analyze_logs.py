"""Draws the curves of training runs, and prints their best and last values.

A run is a work folder (what several starts of a resumed run have logged is joined), one of its time-stamped folders, or
a file of lines below vis_data. Drawn against training steps: loss, learning rate, and every metric of the validations.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vlpeft.engine.messages import run_main

EPILOG = """examples:
  %(prog)s work_dirs/quickstart/uniadapter
  %(prog)s work_dirs/quickstart/uniadapter work_dirs/quickstart/full --names adapter "full training" --out both.png
  %(prog)s work_dirs/quickstart/lora --metrics loss grad_norm retrieval/mean_R@1 --smooth 0.9"""
ENDINGS = ('.png', '.pdf', '.svg')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('runs', nargs='+', metavar='RUN', help='work folder, time-stamped folder, or file of lines')
    parser.add_argument('--out', default='curves.png', metavar='FILE', help='.png, .pdf or .svg (default: curves.png)')
    parser.add_argument(
        '--metrics', nargs='+', metavar='NAME', help='curves to show (default: loss, lr, all of the validations)'
    )
    parser.add_argument('--names', nargs='+', metavar='NAME', help='what the legend calls the runs (default: folders)')
    parser.add_argument(
        '--smooth',
        type=float,
        default=0.0,
        metavar='W',
        help='draw an exponential mean too, W the weight of the past, such as 0.9 (default: 0, none)',
    )
    parser.add_argument('--title', default='', help='title of the picture (default: none)')
    parser.add_argument('--json', action='store_true', help='print one JSON object instead of tables')
    args = parser.parse_args(argv)
    if not 0 <= args.smooth < 1:
        parser.error(f'--smooth must be at least 0 and below 1, got {args.smooth:g}')
    if args.names and len(args.names) != len(args.runs):
        parser.error(f'--names: {len(args.names)} names for {len(args.runs)} runs')
    if args.names and len(set(args.names)) < len(args.names):
        parser.error('--names: two runs have the same name')
    if Path(args.out).suffix.lower() not in ENDINGS:
        parser.error(f'--out {args.out}: the name must end with one of {", ".join(ENDINGS)}')
    return args


def short_names(runs: Sequence[str]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    parts = [Path(run).resolve().parts for run in runs]
    for count in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise SystemExit('a run is given twice')


def value(number: float | None) -> str:
    """Six digits; a dash for none."""
    return '–' if number is None else f'{number:.6g}'


def show(summaries: dict[str, dict]) -> None:
    """A table of the runs and one of the curves."""
    from rich.table import Table

    from vlpeft.analysis.log_summary import direction
    from vlpeft.engine.plain_console import plain_console

    runs, curves = Table(title='runs'), Table(title='curves')
    runs.add_column('run', overflow='fold')
    for head in ('last step', 'seconds per step (median)', 'peak GPU memory (MiB)'):
        runs.add_column(head, justify='right')
    curves.add_column('curve, runs', overflow='fold')
    for head in ('best', 'at step', 'last', 'at step'):
        curves.add_column(head, justify='right', no_wrap=True)
    for run, summary in summaries.items():
        seconds, memory = summary['seconds_per_step'], summary['peak_memory_mib']
        runs.add_row(run, f'{summary["steps"]:,}', value(seconds), 'not logged' if memory is None else f'{memory:,.0f}')
    words = {'min': ' (smaller is better)', 'max': ' (larger is better)', None: ''}
    for name in dict.fromkeys(name for summary in summaries.values() for name in summary['curves']):
        rows = {run: summary['curves'][name] for run, summary in summaries.items() if name in summary['curves']}
        curves.add_row(name + words[direction(name)], style='bold')
        for run, row in rows.items():
            at = '–' if row['best_step'] is None else f'{row["best_step"]:,}'
            last = value(row['last']) if row['last'] is not None else 'not finite'
            curves.add_row(f'  {run}', value(row['best']), at, last, f'{row["last_step"]:,}')
        curves.add_section()
    console = plain_console()
    console.print(runs)
    console.print(curves)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    names = args.names or short_names(args.runs)
    from vlpeft.analysis.log_summary import summarise
    from vlpeft.analysis.run_log import chosen_names, read_run
    from vlpeft.visualization.curves import draw_curves

    logs = {name: read_run(run) for name, run in zip(names, args.runs)}
    shown = chosen_names(logs.values(), args.metrics)
    summaries = {name: summarise(log, shown) for name, log in logs.items()}
    curves = {name: {**log.training, **log.validation} for name, log in logs.items()}
    even = {name for log in logs.values() for name in log.training}
    draw_curves(args.out, curves, shown, sorted(even), args.smooth, args.title)
    if args.json:
        print(json.dumps(dict(picture=args.out, runs=summaries)))
        return 0
    show(summaries)
    for name, summary in summaries.items():
        for note in summary['notes']:
            print(f'note: {name}: {note}')
        for curve, row in summary['curves'].items():
            if row['not_finite']:
                print(f'note: {name}: {curve}: {row["not_finite"]} of {row["points"]} values are not finite (gaps)')
    print(f'picture: {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
