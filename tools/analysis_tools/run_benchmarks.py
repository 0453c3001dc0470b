"""Runs the benchmarks, each in a process of its own, and writes a record of each and a table of all.

OUT/{name}.json has what a benchmark printed, its command, the machine and the commit. The table, OUT/README.md or a
part of a page, is made of the records alone. Those that have a record with the same settings are not run again, so that
what was stopped goes on. About ten minutes on two cores that do nothing else.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from vlpeft.engine.arguments import Positive
from vlpeft.engine.messages import run_main

ROOT = Path(__file__).parents[2]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    from vlpeft.benchmarks.entries import ENTRIES

    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='benchmarks: ' + ', '.join(entry.name for entry in ENTRIES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the records')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='default: all')
    parser.add_argument('--again', action='store_true', help='run those that have a record, too')
    parser.add_argument(
        '--table', action='store_true', help='run nothing; make the table of the records that there are'
    )
    parser.add_argument('--page', type=Path, help='put the table into this page, between its marks')
    parser.add_argument('--threads', type=int, action=Positive, help='OMP_NUM_THREADS (default: all cores)')
    args = parser.parse_args(argv)
    names = [entry.name for entry in ENTRIES]
    for name in args.only or ():
        if name not in names:
            parser.error(f'there is no benchmark {name!r}; there are {", ".join(names)}')
    args.entries = [entry for entry in ENTRIES if args.only is None or entry.name in args.only]
    return args


def run(entry, args: argparse.Namespace) -> dict:
    """Runs a benchmark; its progress goes to standard error.

    Raises:
        BenchmarkError: It failed.
    """
    from vlpeft.benchmarks.records import BenchmarkError, make_record

    command = [sys.executable, *entry.command, '--json']
    env = dict(os.environ) if args.threads is None else {**os.environ, 'OMP_NUM_THREADS': str(args.threads)}
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise BenchmarkError(f'{entry.name}: {" ".join(entry.command)} ended with exit code {done.returncode}')
    return make_record(entry, done.stdout, time.monotonic() - began)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    from vlpeft.benchmarks.records import BenchmarkError, put_table, read_record, table, write_record

    due = [] if args.table else [e for e in args.entries if args.again or read_record(e, args.out) is None]
    if not args.table:
        minutes = sum(entry.minutes for entry in due)
        print(f'{len(due)} of {len(args.entries)} benchmarks to run, about {minutes:.0f} minutes', flush=True)
    failed = []
    for number, entry in enumerate(due, 1):
        print(f'{number}/{len(due)} {entry.name}: python {" ".join(entry.command)}', flush=True)
        try:
            record = run(entry, args)
        except BenchmarkError as error:
            print(f'error: {error}', file=sys.stderr)
            failed.append(entry.name)
            continue
        write_record(record, args.out)
        for row in entry.rows(record['results']):
            print(f'    {row.what}: {row.figure} ({row.beside})')
        print(f'    {record["seconds"]:.0f} s', flush=True)
    made = table(args.out)
    page = args.page or args.out / 'README.md'
    if args.page is None:
        page.write_text(f'# Benchmarks\n\n{made}', encoding='utf-8')
    else:
        put_table(page, made)
    print(f'table: {page}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(run_main(main))
