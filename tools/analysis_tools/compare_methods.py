"""Compares methods: runs what is missing of a study, keeps a record of each run, and writes table, pictures and page.

It may be stopped at any time and started again: what has ended is not run again, and what was stopped goes on from its
checkpoint. The page is made of the records alone.
"""

import argparse
import signal
import sys
from pathlib import Path

from vlpeft.engine.messages import run_main

EPILOG = """examples:
  %(prog)s configs/evidence/retrieval.yml --records records/retrieval --out page
  %(prog)s configs/evidence/retrieval.yml --records records/retrieval --out page --only lora bitfit
  %(prog)s configs/evidence/retrieval.yml --records records/retrieval --out page --no-run    # the page anew
  %(prog)s configs/evidence/perceiving.yml --records docs/evidence/perceiving --reproduce epalm"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('study', type=Path, help='study file (.yml)')
    parser.add_argument('--records', type=Path, required=True, help='folder of the records, a JSON file each run')
    parser.add_argument('--out', type=Path, help='folder for table, pictures and page')
    parser.add_argument(
        '--work-dir', type=Path, help='folder of the runs (default: work_dirs/evidence/<name of the study>)'
    )
    parser.add_argument('--only', nargs='+', metavar='METHOD', help='some of the methods')
    parser.add_argument('--no-run', action='store_true', help='run nothing, make the page of the records there are')
    parser.add_argument(
        '--reproduce',
        metavar='METHOD',
        help="run a method's first seed again with the rate of its record; exit code 1 if the score is not within the "
        "record's interval",
    )
    args = parser.parse_args(argv)
    if (args.out is None) == (args.reproduce is None):
        parser.error('--out FOLDER writes the page of a study, --reproduce METHOD none; give one of them')
    if args.reproduce and (args.only or args.no_run):
        parser.error('--only and --no-run do not go with --reproduce')
    return args


def main(argv: list[str] | None = None) -> int:
    """Compare, and stop at a signal without leaving a run behind."""
    args = parse_args(argv)
    # As an exception, so that the training of the moment is told to save and to end.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return compare(args) if args.reproduce is None else reproduce(args)
    finally:
        signal.signal(signal.SIGTERM, before)


def compare(args: argparse.Namespace) -> int:
    """Run what is missing, and write the page."""
    from vlpeft.comparison.page import write_page
    from vlpeft.comparison.record import make_record, read_records, write_record
    from vlpeft.comparison.runs import run_study
    from vlpeft.comparison.study import StudyError, choose, read_study

    study = read_study(args.study)
    root = args.work_dir or Path('work_dirs/evidence') / study.name
    chosen = choose(study, args.only)
    if not args.no_run:
        recorded = read_records(study, args.records)
        for run, noted, tried in run_study(chosen, root, recorded, lambda line: print(line, flush=True)):
            path = write_record(make_record(study, run, noted, tried), args.records)
            print(f'{run.title}: {study.metric} {noted["result"]["metrics"].get(study.metric)}, {path}', flush=True)
    records = read_records(study, args.records)
    if not records:
        raise StudyError(f'{args.records} holds no record of {args.study}; leave out --no-run')
    for path in write_page(study, records, args.out):
        print(f'wrote {path}')
    return 0


def reproduce(args: argparse.Namespace) -> int:
    """Run one record's run again, in a folder of its own, and compare."""
    from vlpeft.comparison.record import read_records
    from vlpeft.comparison.runs import run_again
    from vlpeft.comparison.study import StudyError, choose, read_study

    study = choose(read_study(args.study), [args.reproduce])
    records = read_records(study, args.records).get(args.reproduce)
    if not records:
        raise StudyError(f'{args.records} holds no record of {args.reproduce}')
    root = args.work_dir or Path('work_dirs/evidence') / f'{study.name}-again'
    found = run_again(study, records[0], root, lambda line: print(line, flush=True))
    stored, interval = records[0]['metrics'][study.metric], records[0]['intervals'].get(study.metric)
    if interval is None:
        raise StudyError(f'the record of {args.reproduce} has no interval of {study.metric}')
    within = interval[0] <= found <= interval[1]
    print(
        f'{study.metric}: {found:.2f}; the record has {stored:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]: '
        + ('within its interval' if within else 'NOT within its interval')
    )
    return 0 if within else 1


if __name__ == '__main__':
    sys.exit(run_main(main))
