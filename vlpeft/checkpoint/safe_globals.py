"""What an MMEngine checkpoint holds besides tensors, declared safe for ``torch.load(weights_only=True)``.

A Runner stores its message hub: ``HistoryBuffer`` objects with numpy arrays and scalars. Everything declared here only
builds data. A ``HistoryBuffer`` also pickles its statistics as ``getattr(HistoryBuffer, 'mean')``; the real ``getattr``
would let a file reach any attribute of any object, so its name is bound to a function that knows these four only.
"""

from pickle import UnpicklingError

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_STATISTICS = ('min', 'max', 'current', 'mean')
_NUMERIC_CODES = '?bhilqBHILQefdgFDG'


def history_statistic(owner: type, name: str):
    """Stand-in for ``getattr`` while unpickling: one of ``HistoryBuffer``'s own statistics.

    Args:
        owner: Must be ``HistoryBuffer``.
        name: ``'min'``, ``'max'``, ``'current'`` or ``'mean'``.

    Returns:
        Callable: The method.

    Raises:
        pickle.UnpicklingError: Anything else was asked for.
    """
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnpicklingError(
            f'refused: the file asks for attribute {name!r} of {owner!r}; only {", ".join(_STATISTICS)} of '
            'HistoryBuffer are allowed'
        )
    return getattr(HistoryBuffer, name)


def register_safe_globals() -> None:
    """Declares the globals of MMEngine checkpoints to torch, when ``vlpeft`` is imported and before a file is read."""
    reconstruct = np.zeros(1).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    # numpy 2 renamed numpy.core; files of either numpy must be readable with either.
    moved = [
        (function, f'numpy.{core}.multiarray.{function.__name__}')
        for function in (reconstruct, scalar)
        for core in ('core', '_core')
    ]
    dtypes = sorted({type(np.dtype(code)) for code in _NUMERIC_CODES}, key=lambda dtype: dtype.__name__)
    torch.serialization.add_safe_globals(
        [HistoryBuffer, np.ndarray, np.dtype, *dtypes, *moved, (history_statistic, 'builtins.getattr')]
    )
