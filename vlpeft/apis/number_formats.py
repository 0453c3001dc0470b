"""Number formats by name; the names are there without torch, for the help of commands."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DTYPES = ('float32', 'bfloat16', 'float16')


def usable_dtype(name: str | None) -> 'torch.dtype | None':
    """The number format of that name; None for None.

    Raises:
        ValueError: It is none of :data:`DTYPES`.
    """
    if name is None:
        return None
    if name not in DTYPES:
        raise ValueError(f'dtype={name!r}; choose from {", ".join(DTYPES)}')
    import torch

    return getattr(torch, name)
