"""Check the zoo's metafiles: python tools/misc/check_metafiles.py. Prints one line for each fault."""

import sys

from vlpeft.apis.metafiles import metafile_faults
from vlpeft.apis.model_index import read_zoo


def main() -> int:
    """1 if there are faults."""
    if faults := metafile_faults():
        print('\n'.join(faults))
        return 1
    print(f'{len(read_zoo())} models, no faults')
    return 0


if __name__ == '__main__':
    sys.exit(main())
