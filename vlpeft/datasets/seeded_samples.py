"""Training samples that each have a seed of their own, and epochs that can begin in their middle.

What augmentations, frame sampling and drawn answers do to a sample is a function of

    (seed of the run, epoch, index of the sample, how often it was drawn in this epoch)

and of nothing else: not of the number of loader workers, of what a worker did before, or of where a resumed run begins.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader, Dataset, Sampler

from .generators import seeded

# Settings of a loader that stay; the rest is its set and its sampler.
_KEPT = (
    'num_workers',
    'collate_fn',
    'pin_memory',
    'timeout',
    'worker_init_fn',
    'multiprocessing_context',
    'generator',
    'prefetch_factor',
    'persistent_workers',
    'in_order',
)


class SeededSamples(Dataset):
    """A set whose samples are asked for by (index, seed); all else of the set is there under its own name."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: tuple[int, int]) -> Any:
        index, seed = draw
        with seeded(seed):
            return self.dataset[index]

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)


class SeededBatches(Sampler):
    """Batches of (index, seed) from batches of indices, without the first ones of an epoch that is resumed.

    Args:
        batches: A batch sampler.
        samples: Size of the set.
        seed: Of the run.
    """

    def __init__(self, batches: Sampler, samples: int, seed: int) -> None:
        self.batches, self.samples, self.seed = batches, samples, seed
        self.epoch = self.done = 0

    @property
    def sampler(self) -> Sampler:
        """That of the batches; hooks tell it the epoch."""
        return self.batches.sampler

    @property
    def batch_size(self) -> int:
        """Of one process; the largest where tasks differ."""
        sizes = getattr(self.batches, 'batch_sizes', None)
        return max(sizes.values()) if sizes else self.batches.batch_size

    def begin(self, epoch: int, done: int = 0) -> None:
        """What the next iteration gives: an epoch, but for its first ``done`` batches."""
        self.epoch, self.done = epoch, done

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, done = self.epoch, self.done
        rank, world = get_dist_info()
        times = np.zeros(self.samples, np.uint32)
        drawn = 0
        for number, batch in enumerate(self.batches):
            seeds = []
            for index in batch:
                # An endless sampler gives a process what another one had in an earlier round.
                once_more = int(times[index]) + (drawn * world + rank) // self.samples
                times[index] += 1
                drawn += 1
                if number >= done:
                    seeds.append(_seed(self.seed, epoch, index, once_more))
            if number >= done:
                yield list(zip(batch, seeds))


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seeded_loader(loader: DataLoader, seed: int) -> DataLoader:
    """The same loader with :class:`SeededSamples` and :class:`SeededBatches`."""
    samples = SeededSamples(loader.dataset)
    batches = SeededBatches(loader.batch_sampler, len(samples), seed)
    return DataLoader(samples, batch_sampler=batches, **{name: getattr(loader, name) for name in _KEPT})
