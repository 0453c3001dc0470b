"""Where tables are printed that hold names and texts of users."""

import sys

from rich.console import Console


def plain_console(elsewhere: int | None = None) -> Console:
    """A console of standard output that prints texts as they are: to rich, ``[x]`` is markup, and ``:cat:`` a picture.

    Args:
        elsewhere: Width where the output is no terminal. Defaults to None, rich's 80, or the environment's ``COLUMNS``.
    """
    return Console(width=None if sys.stdout.isatty() else elsewhere, markup=False, emoji=False)
