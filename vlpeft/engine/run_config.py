"""A config whose text is written at once: MMEngine has yapf format it, which takes seconds at the start of a run."""

from keyword import iskeyword
from typing import Any

from mmengine.config import Config

from .config_file import read_config

WIDTH, INDENT = 120, 4


class RunConfig(Config):
    """MMEngine's ``Config``, but for :attr:`pretty_text`."""

    @classmethod
    def read(cls, path: str) -> 'RunConfig':
        """Reads a config file. Errors: those of :func:`~vlpeft.engine.config_file.read_config`."""
        cfg = read_config(path)
        return cls(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename, env_variables=cfg.env_variables)

    @property
    def pretty_text(self) -> str:
        """The config as Python: keys in alphabetical order, what fits on a line on one, else an item a line."""
        return ''.join(
            f'{key} = {_text(value, 0, len(key) + 3)}\n' for key, value in sorted(self.to_dict().items(), key=_name)
        )


def _name(item: tuple[Any, Any]) -> str:
    return str(item[0])


def _text(value: Any, indent: int, used: int) -> str:
    """A value as Python.

    Args:
        value: Of a config.
        indent: Blanks before its last line.
        used: Columns of its first line that are taken, the blanks not counted.
    """
    line = _line(value)
    opening, items, closing = _parts(value)
    if not items or indent + used + len(line) < WIDTH:  # a comma follows
        return line
    inner = indent + INDENT
    lines = [f'{" " * inner}{key}{_text(item, inner, len(key))},' for key, item in items]
    return '\n'.join([opening, *lines, ' ' * indent + closing])


def _line(value: Any) -> str:
    """A value as Python on one line."""
    opening, items, closing = _parts(value)
    comma = ',' * (isinstance(value, tuple) and len(value) == 1)
    return opening + ', '.join(key + _line(item) for key, item in items) + comma + closing


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str]:
    """What a value begins with, its items with what is before each, and what it ends with."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=_name)
        if all(isinstance(key, str) and key.isidentifier() and not iskeyword(key) for key in value):
            return 'dict(', [(f'{key}=', item) for key, item in items], ')'
        return '{', [(f'{key!r}: ', item) for key, item in items], '}'
    if isinstance(value, (list, tuple)):
        opening, closing = '[]' if isinstance(value, list) else '()'
        return opening, [('', item) for item in value], closing
    return repr(value) if isinstance(value, str) else str(value), [], ''
