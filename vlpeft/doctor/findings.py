"""How the doctor says what it found."""

from typing import NamedTuple

OK, NOTE, MISSING, BROKEN = 'ok', 'note', 'missing', 'broken'


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        topic: What was looked at.
        level: 'ok'; 'note', for what only some need; 'missing', for what a config needs; 'broken'.
        text: What was found, and what to do.
    """

    topic: str
    level: str
    text: str


def one_line(error: BaseException) -> str:
    """Kind and first line of an error."""
    text = str(error).strip()
    return f'{type(error).__name__}: {text.splitlines()[0][:200]}' if text else type(error).__name__
