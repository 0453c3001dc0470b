"""Compares two results of tools/test.py --out on the same samples: differences, their intervals, and what flipped.

The bootstrap is paired: units (samples, or all samples of a file) are drawn with replacement for both models at once.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.table import Table

from vlpeft.atomic import write_atomically
from vlpeft.engine.messages import run_main
from vlpeft.engine.plain_console import plain_console

EPILOG = """examples:
  %(prog)s lora.json uniadapter.json
  %(prog)s lora.json uniadapter.json --figures retrieval/t2v_R@1 --flips 20 --json difference.json"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('first', type=Path, help='result of one model: .json or .jsonl of tools/test.py --out')
    parser.add_argument('second', type=Path, help='result of the other, of the same test set')
    parser.add_argument('--figures', nargs='+', metavar='NAME', help='such as retrieval/t2v_R@1 (default: all)')
    parser.add_argument('--flips', type=int, default=5, metavar='N', help='examples to show of each way (default: 5)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all differences and all examples')
    args = parser.parse_args(argv)
    if args.flips < 0:
        parser.error(f'--flips must be at least 0, got {args.flips}')
    return args


def main(argv: list[str] | None = None) -> int:
    """Compare and print."""
    args = parse_args(argv)
    from vlpeft.evaluation.pairs import compare

    found = compare(args.first, args.second, args.figures)
    console = plain_console(140)
    table = Table('figure', title='second less first', title_justify='left')
    for head in ('first', 'second', 'difference', '95 % interval', 'p', 'better', 'worse', 'units'):
        table.add_column(head, justify='right', no_wrap=True)
    for one in found:
        value, interval, p_value, units = one.difference
        ends = 'one unit' if interval is None else f'{interval[0]:+.2f} to {interval[1]:+.2f}'
        table.add_row(
            one.figure,
            f'{one.first:.2f}',
            f'{one.second:.2f}',
            f'{value:+.2f}',
            ends,
            '–' if p_value is None else f'{p_value:.4f}',
            f'{len(one.better):,}',
            f'{len(one.worse):,}',
            f'{units:,}',
        )
    console.print(table)
    for one in found:
        for title, pairs in (('better', one.better), ('worse', one.worse)):
            for pair in pairs[: args.flips]:
                asked = pair.sample.get('question') or pair.sample.get('query') or pair.sample.get('file') or ''
                console.print(f'{one.figure} {title}: {asked}: {pair.first} → {pair.second}', highlight=False)
    if args.json:
        text = json.dumps([_plain(one) for one in found], indent=1, ensure_ascii=False) + '\n'
        write_atomically(args.json, lambda part: Path(part).write_text(text, encoding='utf-8'))
        print(f'wrote {args.json}')
    return 0


def _plain(one) -> dict:
    pairs = {title: [pair._asdict() for pair in getattr(one, title)] for title in ('better', 'worse')}
    return dict(one._asdict(), difference=one.difference._asdict(), **pairs)


if __name__ == '__main__':
    sys.exit(run_main(main))
