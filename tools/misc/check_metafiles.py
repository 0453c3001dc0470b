"""Check the zoo's metafiles: names, configs, bases, figures and their sources. One line for each fault."""

import argparse
import sys

from vlpeft.engine.messages import run_main
from vlpeft.zoo.metafiles import metafile_faults
from vlpeft.zoo.model_index import read_zoo


def main(argv: list[str] | None = None) -> int:
    """1 if there are faults."""
    argparse.ArgumentParser(description=__doc__, epilog='example: %(prog)s').parse_args(argv)
    if faults := metafile_faults():
        print('\n'.join(faults))
        return 1
    print(f'{len(read_zoo())} models, no faults')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
