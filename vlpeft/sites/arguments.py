"""Arguments that versions of a library call differently, by the name that a module's call has."""

import inspect
from functools import cache

from torch import nn

#: A cache of keys and values: until transformers 4.57 the second; 5 also takes that one, until 5.40.
CACHE = ('cache', 'past_key_values')


@cache
def _names(kind: type) -> frozenset[str]:
    return frozenset(inspect.signature(kind.forward).parameters)


def argument_name(module: nn.Module, names: tuple[str, ...]) -> str:
    """The first of ``names`` that the call of ``module`` has; the last where it has none of them."""
    return next((name for name in names if name in _names(type(module))), names[-1])
