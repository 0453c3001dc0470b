"""The class of a handle, made for the class of the model that it stands for.

Trainers tell from the signature of ``forward`` the columns of a data set that a model takes, and which of them are
labels; a handle has that of its model.
"""

import functools
import inspect
from typing import Any

from torch import nn


@functools.cache
def called_like(base: type[nn.Module], kind: type[nn.Module]) -> type[nn.Module]:
    """The subclass of ``base`` whose ``forward`` has the signature of that of ``kind``, the class of a model."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    forward.__signature__ = inspect.signature(kind.forward)
    forward.__doc__ = base.forward.__doc__
    return type(base.__name__, (base,), dict(forward=forward, __doc__=base.__doc__, __module__=base.__module__))


def blank(base: type[nn.Module], kind: type[nn.Module]) -> nn.Module:
    """An instance that has nothing yet, for pickles and copies."""
    cls = called_like(base, kind)
    return cls.__new__(cls)
