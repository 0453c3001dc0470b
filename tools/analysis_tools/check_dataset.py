"""Check the data of a config: files that are missing, damaged or of another type, duplicates, splits that overlap.

Reads the sets of the train, val and test loaders as a run does and decodes every distinct file once, in parallel.
Killed and started again with the same --out, it goes on where it was.
"""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path

from mmengine.registry import init_default_scope

from vlpeft.datasets.checking import KINDS, SPLITS, check
from vlpeft.engine.arguments import add_config_arguments
from vlpeft.engine.launch import check_settings, default_work_dir, load_config
from vlpeft.engine.messages import run_main
from vlpeft.engine.progress import Steps
from vlpeft.visualization.check_page import write_check_page

EPILOG = """exit code: 0 nothing found, 1 something found, 2 wrong arguments or config

examples:
  %(prog)s uniadapter/blip_msrvtt --workers 8
  %(prog)s uniadapter/blip_msrvtt --fast --splits test"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder of report.html, report.json and progress.jsonl; default: '
        'dataset_check in the work folder of the config',
    )
    parser.add_argument('--splits', nargs='+', choices=SPLITS, default=SPLITS, help='loaders (default: all)')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes (default: one for each core)')
    parser.add_argument('--fast', action='store_true', help='look only at existence, size and first bytes of the files')
    parser.add_argument(
        '--ignore',
        nargs='+',
        choices=KINDS,
        default=[],
        metavar='KIND',
        help=f'kinds that are reported, but leave the exit code at 0: {", ".join(KINDS)}',
    )
    args = parser.parse_args(argv)
    if args.workers < 1:
        parser.error(f'--workers must be at least 1, got {args.workers}')
    return args


def _tokens(entry: dict) -> str:
    """A line on the lengths of conversations."""
    parts = dict(entry['tokens'])
    counted = f'{parts.pop("samples"):,} of {entry["samples"]:,} samples'
    limit = '' if entry['max_length'] is None else f'; max_length {entry["max_length"]:,}'
    return f'tokens of {entry["name"]}: {counted}: {", ".join(f"{name} {n:,}" for name, n in parts.items())}{limit}'


def main(argv: list[str] | None = None) -> int:
    """Check, write the reports and print the counts; returns the exit code."""
    args = parse_args(argv)
    try:
        cfg = load_config(args.config, args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'vlpeft'))
        check_settings(cfg, *(f'{split}_dataloader' for split in args.splits))
        out = Path(args.out or Path(default_work_dir(cfg, args.config)) / 'dataset_check')
        report = check(cfg.to_dict(), out, tuple(args.splits), args.workers, args.fast, partial(Steps, 'files'))
    except SystemExit as refused:  # a setting that the config has not
        print(refused.code, file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001  whatever a config raises that cannot be built
        print(f'{args.config}: {type(error).__name__}: {error}', file=sys.stderr)
        return 2
    content = dict(report.as_json(), config=args.config, splits=list(args.splits))
    (out / 'report.json').write_text(json.dumps(content, indent=1))
    write_check_page(out / 'report.html', f'Data of {args.config}', content, KINDS)
    for finding in report.findings[:20]:
        print(f'{finding.kind}: {finding.subject}: {finding.detail}')
    if len(report.findings) > 20:
        print(f'… and {len(report.findings) - 20:,} more')
    for entry in report.sets:
        if entry.get('tokens'):
            print(_tokens(entry))
    for kind, count in report.counts.items():
        print(f'{count:>9,}  {kind}: {KINDS[kind]}' + ('  (ignored)' if kind in args.ignore else ''))
    print(f'{report.files:,} files of {len(report.sets)} sets, {report.resumed:,} read before; {out / "report.html"}')
    return int(any(kind not in args.ignore for kind in report.counts))


if __name__ == '__main__':
    sys.exit(run_main(main))
