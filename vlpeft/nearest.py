"""Suggestions for names that do not exist."""

import difflib
from collections.abc import Iterable
from pathlib import Path


def near(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that is most like ``name``, whatever its case; None if none is."""
    by_lower = {str(other).lower(): str(other) for other in names}
    found = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def if_folder(path: str | Path) -> str:
    """What to say after "there is no file …" where a folder of that name is."""
    return ' (it is a folder)' if Path(path).expanduser().is_dir() else ''


def suggestion(name: str, names: Iterable[str], every: int = 12) -> str:
    """``; did you mean …?``, or the names there are where none is near and they are at most ``every``."""
    names = list(names)
    found = near(name, names)
    if found is not None:
        return f'; did you mean {found}?'
    return f'; there are {", ".join(map(str, names))}' if 0 < len(names) <= every else ''
