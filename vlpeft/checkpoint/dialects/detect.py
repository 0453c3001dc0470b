"""Which dialect is it?"""

from collections.abc import Mapping

from torch import Tensor

from ...registry import DIALECTS
from ..errors import CheckpointError
from .base import Dialect


def dialect_names() -> list[str]:
    """Names of all registered dialects, sorted."""
    DIALECTS.import_from_location()
    return sorted(DIALECTS.module_dict)


def get_dialect(name: str) -> Dialect:
    """A dialect by name.

    Raises:
        CheckpointError: There is none of that name.
    """
    if name not in dialect_names():
        raise CheckpointError(f'unknown checkpoint layout {name!r}; there are: {", ".join(dialect_names())}')
    return DIALECTS.get(name)()


def detect(weights: Mapping[str, Tensor], origin: str = 'checkpoint') -> Dialect:
    """The dialect of a checkpoint's weights, told from their keys.

    Args:
        weights: By the file's names.
        origin: The file, for the message. Defaults to "checkpoint".

    Returns:
        The one that matches.

    Raises:
        CheckpointError: None matches, or several do.
    """
    fitting = [dialect for dialect in map(get_dialect, dialect_names()) if dialect.matches(weights)]
    if len(fitting) == 1:
        return fitting[0]
    keys = list(weights)
    problem = f'fits several layouts ({", ".join(d.name for d in fitting)})' if fitting else 'has an unknown layout'
    raise CheckpointError(
        f'{origin} {problem}; there are: {", ".join(dialect_names())}. '
        f'It holds {len(keys)} keys, the first: {", ".join(map(str, keys[:5]))}'
    )
