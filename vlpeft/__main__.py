"""``python -m vlpeft`` is the command ``vlpeft``."""

import sys

from vlpeft.cli import main

if __name__ == '__main__':
    sys.exit(main())
