"""Batches of one task each, mixed over an epoch.

With n_i batches in a walk through the set of task i and N = Σ n_i, an epoch has c_i batches of task i:

    proportional   c_i = n_i
    balanced       c_i = ⌊N / number of tasks⌋
    temperature    c_i ∝ n_i^(1/T), Σ c_i = N; T = 1 is proportional, T → ∞ balanced

The order is the multiset {task i, c_i times}, shuffled by a generator that is seeded with seed + epoch. Seed 0 gives
the order of the released VL-PET and, within each task, that of torch's ``DistributedSampler`` with its default seed.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import count

from mmengine.dataset import DefaultSampler
from torch.utils.data import Sampler

from ...registry import DATA_SAMPLERS
from ..multi_task import MultiTaskDataset

MIXINGS = ('proportional', 'balanced', 'temperature')


@DATA_SAMPLERS.register_module()
class TaskMixingBatchSampler(Sampler):
    """Batch sampler of a :class:`MultiTaskDataset`; all processes are on the same task in the same step.

    Each task walks through its set in an order of its own, shuffled anew for each walk; where c_i ≠ n_i an epoch takes
    up the walk where the last one left it, so small sets are repeated and large ones are still seen evenly. The
    processes' shares of a walk are disjoint and together the whole set; a set that does not divide by the number of
    processes is filled up with its first samples. The last batch of a walk may be smaller.

    Batches are a pure function of (seed, epoch, rank, number of processes).

    Args:
        sampler: Seed, epoch, ``shuffle`` (of the samples within a task) and process; the runner builds it from
            ``sampler=dict(type='DefaultSampler', shuffle=True)`` with the run's seed unless ``seed`` is given.
        batch_size: Batch size, per process, of the tasks that ``batch_sizes`` does not name.
        batch_sizes: Batch size of a task, per process. Defaults to None.
        mixing: 'proportional', 'balanced' or 'temperature'. Defaults to 'proportional'.
        temperature: T ≥ 1, of mixing 'temperature' only. Defaults to None.
        order: All tasks in the order in which they enter the shuffle, which decides what schedule a seed gives.
            Defaults to the alphabet, not to the set's own order: MMEngine sorts dicts when it writes a config, and the
            copy in a work folder must give the same run.

    Raises:
        TypeError: Not a ``DefaultSampler`` of a ``MultiTaskDataset``.
        ValueError: An unknown task or mixing; a batch size or temperature below 1; ``temperature`` without its mixing;
            ``sampler.round_up=False``, with which the processes' numbers of batches could differ.
    """

    def __init__(
        self,
        sampler: DefaultSampler,
        batch_size: int,
        batch_sizes: dict[str, int] | None = None,
        mixing: str = 'proportional',
        temperature: float | None = None,
        order: Sequence[str] | None = None,
    ) -> None:
        _check_sampler(sampler)
        self.sampler = sampler
        self.ranges = sampler.dataset.task_ranges
        self.order = sorted(self.ranges) if order is None else list(order)
        self.batch_sizes = {**dict.fromkeys(self.order, batch_size), **(batch_sizes or {})}
        self._check_tasks(batch_sizes or {})
        _check_mixing(mixing, temperature)
        self.walks = {
            task: DefaultSampler(indices, shuffle=sampler.shuffle, seed=sampler.seed)
            for task, indices in self.ranges.items()
        }
        self.walk_lengths = {task: -(-len(self.walks[task]) // self.batch_sizes[task]) for task in self.order}
        self.counts = _batches_per_epoch(self.walk_lengths, mixing, temperature)

    def schedule(self, epoch: int) -> list[str]:
        """Task of each step of an epoch."""
        steps = [task for task in self.order for _ in range(self.counts[task])]
        random.Random(self.sampler.seed + epoch).shuffle(steps)
        return steps[::-1]  # the released code takes them from the end

    def __iter__(self) -> Iterator[list[int]]:
        epoch = self.sampler.epoch
        batches = {task: self._batches(task, epoch * self.counts[task]) for task in self.order}
        return (next(batches[task]) for task in self.schedule(epoch))

    def __len__(self) -> int:
        """Number of batches of an epoch, the same on every process."""
        return sum(self.counts.values())

    def _batches(self, task: str, first: int) -> Iterator[list[int]]:
        """Batches of a task, walk after walk, from number ``first`` on."""
        size, start = self.batch_sizes[task], self.ranges[task].start
        walked, skipped = divmod(first, self.walk_lengths[task])
        for number in count(walked):
            self.walks[task].set_epoch(number)
            indices = [start + index for index in self.walks[task]]
            for at in range(skipped * size, len(indices), size):
                yield indices[at : at + size]
            skipped = 0

    def _check_tasks(self, batch_sizes: dict[str, int]) -> None:
        tasks = ', '.join(self.ranges)
        if sorted(self.order) != sorted(self.ranges):
            raise ValueError(f'batch_sampler.order is {", ".join(self.order)}; the set has the tasks {tasks}')
        unknown = [task for task in batch_sizes if task not in self.ranges]
        if unknown:
            raise ValueError(f'batch_sampler.batch_sizes names {", ".join(unknown)}; the set has the tasks {tasks}')
        small = {task: size for task, size in self.batch_sizes.items() if size < 1}
        if small:
            raise ValueError(f'batch sizes must be 1 or more, got {small}')


def _check_sampler(sampler: DefaultSampler) -> None:
    if not isinstance(sampler, DefaultSampler):
        raise TypeError(
            "TaskMixingBatchSampler needs train_dataloader.sampler=dict(type='DefaultSampler', …), got "
            f'{type(sampler).__name__}'
        )
    if not isinstance(sampler.dataset, MultiTaskDataset):
        raise TypeError(
            "TaskMixingBatchSampler needs train_dataloader.dataset=dict(type='MultiTaskDataset', …) and no "
            f'num_batch_per_epoch, got a {type(sampler.dataset).__name__}'
        )
    if not sampler.round_up:
        raise ValueError(
            'train_dataloader.sampler.round_up=False could give the processes different numbers of '
            'batches; leave it at True'
        )


def _check_mixing(mixing: str, temperature: float | None) -> None:
    if mixing not in MIXINGS:
        raise ValueError(f'batch_sampler.mixing is {mixing!r}, valid: {", ".join(MIXINGS)}')
    if (mixing == 'temperature') != (temperature is not None):
        raise ValueError(
            "batch_sampler.temperature belongs to mixing='temperature': set both or neither, got mixing="
            f'{mixing!r}, temperature={temperature}'
        )
    if temperature is not None and temperature < 1:
        raise ValueError(f'batch_sampler.temperature must be 1 or more, got {temperature}')


def _batches_per_epoch(lengths: dict[str, int], mixing: str, temperature: float | None) -> dict[str, int]:
    total = sum(lengths.values())
    if mixing == 'proportional':
        return dict(lengths)
    if mixing == 'balanced':
        return dict.fromkeys(lengths, total // len(lengths))
    weights = {task: length ** (1 / temperature) for task, length in lengths.items()}
    shares = {task: total * weight / sum(weights.values()) for task, weight in weights.items()}
    counts = {task: int(share) for task, share in shares.items()}
    by_remainder = sorted(shares, key=lambda task: counts[task] - shares[task])
    for task in by_remainder[: total - sum(counts.values())]:
        counts[task] += 1
    return counts
