"""Examples by a rule, so that nobody picks the pretty ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def evenly(items: Sequence, count: int) -> list:
    """``count`` items at even distances, the first and the last among them; all if there are no more."""
    return [items[round(at)] for at in np.linspace(0, len(items) - 1, min(count, len(items)))]


def lowest(items: Sequence, key: Callable[[Any], float], count: int) -> list:
    """The ``count`` items of the lowest key, lowest first; of those that share the last place, some at even distances.

    Args:
        items: In the order of the set.
        key: What to sort by.
        count: Items to choose.
    """
    ordered = sorted(items, key=key)
    if len(ordered) <= count:
        return ordered
    last = key(ordered[count - 1])
    below = [item for item in ordered if key(item) < last]
    return below + evenly([item for item in ordered if key(item) == last], count - len(below))
