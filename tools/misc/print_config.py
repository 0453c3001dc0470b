"""Print a config: as the runner sees it, with bases merged and overrides applied, or the recipe that it is written as.

Either is a config by itself, which can be changed and run anywhere.
"""

import argparse
import sys

from vlpeft.engine.arguments import add_config_arguments
from vlpeft.engine.messages import run_main

EPILOG = """examples:
  %(prog)s uniadapter/blip_msrvtt > mine.py
  %(prog)s uniadapter/blip_msrvtt --recipe > mine.py    # a few lines that inherit the zoo's"""


def main(argv: list[str] | None = None) -> None:
    """Print the config."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument(
        '--recipe',
        action='store_true',
        help='print the file as it is written, with comments, its _base_ lines as vlpeft:: names or full paths',
    )
    args = parser.parse_args(argv)
    from vlpeft.engine.config_source import portable_source
    from vlpeft.engine.launch import load_config

    if not args.recipe:
        print(load_config(args.config, args.cfg_options).pretty_text)
    elif args.cfg_options:
        parser.error('--recipe prints the file as it is written, without --cfg-options')
    else:
        print(portable_source(args.config), end='')


if __name__ == '__main__':
    sys.exit(run_main(main))
