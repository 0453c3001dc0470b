"""Two-way renaming of state-dict keys: one table per tower, read from either side.

A pattern is a key in which ``{i}`` stands for a number, ``{wb}`` for ``weight`` or ``bias`` and ``{rest}`` for
anything.
"""

import re
from collections.abc import Iterable, Sequence

_PLACEHOLDERS = {'i': r'\d+', 'wb': 'weight|bias', 'rest': '.+'}

Names = Sequence[tuple[str, str]]


class Rename:
    """One pair of patterns with the same placeholders, compiled both ways.

    Args:
        ours: Pattern of our key.
        theirs: Pattern of the foreign key.
    """

    def __init__(self, ours: str, theirs: str) -> None:
        self.ours, self.theirs = ours, theirs
        self._ours, self._theirs = _compile(ours), _compile(theirs)

    def to_theirs(self, key: str) -> str | None:
        """The foreign name of our key; None if the pattern does not match."""
        match = self._ours.fullmatch(key)
        return match and self.theirs.format(**match.groupdict())

    def to_ours(self, key: str) -> str | None:
        """Our name of the foreign key; None if the pattern does not match."""
        match = self._theirs.fullmatch(key)
        return match and self.ours.format(**match.groupdict())


class KeyMap:
    """A table of renames; of several that match a key the first counts.

    Args:
        names: Pairs (our pattern, their pattern).
    """

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        self.renames = [Rename(*pair) for pair in names]

    def to_theirs(self, key: str) -> str | None:
        """The foreign name of our key; None if no pattern matches."""
        return next(filter(None, (rename.to_theirs(key) for rename in self.renames)), None)

    def to_ours(self, key: str) -> str | None:
        """Our name of the foreign key; None if no pattern matches."""
        return next(filter(None, (rename.to_ours(key) for rename in self.renames)), None)


def under(ours: str, theirs: str, names: Names) -> list[tuple[str, str]]:
    """The same table with a prefix on either side."""
    return [(f'{ours}.{a}', f'{theirs}.{b}') for a, b in names]


def same(tails: Iterable[str]) -> list[tuple[str, str]]:
    """A table whose two sides are equal."""
    return [(tail, tail) for tail in tails]


def _compile(pattern: str) -> 're.Pattern[str]':
    text = re.escape(pattern)
    for name, regex in _PLACEHOLDERS.items():
        text = text.replace(re.escape(f'{{{name}}}'), f'(?P<{name}>{regex})')
    return re.compile(text)
