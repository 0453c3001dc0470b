"""The data loaders of a run."""

from collections.abc import Iterator

import torch
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader


def loaders(*loops: BaseLoop | None) -> Iterator[DataLoader]:
    """Those of some loops, each task's where there are several; a loop that is None has none."""
    for loop in loops:
        if loop is not None:
            yield from getattr(loop.dataloader, 'loaders', {None: loop.dataloader}).values()


def end_workers(loader: DataLoader) -> None:
    """Ends the persistent workers of a loader; what iterates it next starts others.

    Left to Python's garbage collection they take five seconds each, and ten where they outlive a signal: it closes
    their queues before it asks the loader to end them, so that they never hear of it.
    """
    if (iterator := getattr(loader, '_iterator', None)) is not None:
        iterator._shutdown_workers()
        loader._iterator = None


def give_own_generator(loader: DataLoader) -> None:
    """Lets a loader draw the seed of its workers from a generator of its own, not from that of the process.

    torch draws one whenever a loader is iterated, but with persistent workers the first time only. What the model draws
    afterwards would depend on where a run was resumed. Samples have seeds that do not depend on the workers'.
    """
    loader.generator = torch.Generator()
