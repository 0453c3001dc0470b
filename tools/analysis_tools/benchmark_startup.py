"""Times how long commands take before they do anything: imports, help, a run's checks, and building models.

Each is a process of its own, started in turn; figures are medians, with files in the operating system's cache. The
import of torch alone, of which most consists, stands beside. Modules that a command must not need to answer are counted
by name: torch and transformers.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from vlpeft.benchmarks.interleave import interleaved
from vlpeft.engine.arguments import Positive
from vlpeft.engine.messages import run_main

ROOT = Path(__file__).parents[2]
HEAVY = ('torch', 'transformers')
BUILD = """
from mmengine.registry import init_default_scope
from vlpeft.engine.launch import load_config
from vlpeft.analysis.flops import build
init_default_scope('vlpeft')
build(load_config('configs/{config}.py').model, device='cpu')
"""
#: What is timed, as arguments of Python.
STARTS = {
    'python': ['-c', 'pass'],
    'import torch': ['-c', 'import torch'],
    'import vlpeft': ['-c', 'import vlpeft'],
    'vlpeft --help': ['-m', 'vlpeft', '--help'],
    'vlpeft train --help': ['-m', 'vlpeft', 'train', '--help'],
    'vlpeft list': ['-m', 'vlpeft', 'list'],
    'vlpeft show CONFIG': ['-m', 'vlpeft', 'show', 'uniadapter/blip_msrvtt'],
    'vlpeft params CONFIG': ['-m', 'vlpeft', 'params', 'uniadapter/blip_msrvtt'],
    'build BLIP-base with UniAdapter': ['-c', BUILD.format(config='uniadapter/blip_msrvtt')],
    'build BART-base with VL-PET': ['-c', BUILD.format(config='vl_pet/vlpet-large_bart-base_vqa')],
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--starts', nargs='+', choices=list(STARTS), default=list(STARTS), help='default: all')
    parser.add_argument('--rounds', type=int, action=Positive, default=3, help='timed starts of each (default: 3)')
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    return parser.parse_args(argv)


def start(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


def imported(arguments: list[str]) -> list[str]:
    """Names of ``HEAVY`` that a start imports."""
    env = {**os.environ, 'PYTHONPROFILEIMPORTTIME': '1'}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True, env=env)
    names = {line.rpartition('|')[2].strip() for line in done.stderr.splitlines() if line.startswith('import time:')}
    return [name for name in HEAVY if name in names]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    heavy = {name: imported(STARTS[name]) for name in args.starts}  # warms the cache of files too
    calls = {name: lambda arguments=STARTS[name]: start(arguments) for name in args.starts}
    seconds = interleaved(calls, args.rounds, warm_up=0)
    rows = [
        dict(
            start=name,
            seconds=statistics.median(found),
            fastest=min(found),
            slowest=max(found),
            imports=heavy[name],
        )
        for name, found in seconds.items()
    ]
    if args.json:
        print(json.dumps(dict(rounds=args.rounds, rows=rows)))
        return
    for row in rows:
        print(
            f'{row["start"]:<34}{row["seconds"]:8.2f} s   ({row["fastest"]:.2f} to {row["slowest"]:.2f})   imports '
            f'{", ".join(row["imports"]) or "none of " + ", ".join(HEAVY)}'
        )


if __name__ == '__main__':
    sys.exit(run_main(main))
