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
  %(prog)s configs/evidence/retrieval.yml --records records/retrieval --out page --no-run    # the page anew"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('study', type=Path, help='study file (.yml)')
    parser.add_argument('--records', type=Path, required=True, help='folder of the records, a JSON file each run')
    parser.add_argument('--out', type=Path, required=True, help='folder for table, pictures and page')
    parser.add_argument(
        '--work-dir', type=Path, help='folder of the runs (default: work_dirs/evidence/<name of the study>)'
    )
    parser.add_argument('--only', nargs='+', metavar='METHOD', help='some of the methods')
    parser.add_argument('--no-run', action='store_true', help='run nothing, make the page of the records there are')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Compare, and stop at a signal without leaving a run behind."""
    args = parse_args(argv)
    # As an exception, so that the training of the moment is told to save and to end.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return compare(args)
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


if __name__ == '__main__':
    sys.exit(run_main(main))
