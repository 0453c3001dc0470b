"""MMEngine's training loops, which here go on within an epoch where they were stopped.

They take the names of MMEngine's in the scope of vlpeft, so every config that trains by epochs or iterations uses them.
A loop resumed at a :class:`~vlpeft.engine.position.Position` reads no batch that was trained on, draws what the
uninterrupted run would have drawn, and first does a validation that was due when the checkpoint was written.
"""

import bisect
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.utils import calc_dynamic_intervals
from torch import nn
from torch.utils.data import DataLoader

from vlpeft.datasets.generators import generator_states, restore_generators
from vlpeft.datasets.seeded_samples import seeded_loader
from vlpeft.engine.console import FOR_PEOPLE
from vlpeft.engine.loaders import give_own_generator, loaders
from vlpeft.engine.position import Position
from vlpeft.registry import LOOPS


class ResumableLoop:
    """What both loops share.

    Attributes:
        batch: Batches of this epoch, or of the whole run by iterations, that are done, the running one included.
    """

    def _prepare(self) -> None:
        self.dataloader = seeded_loader(self.dataloader, self.runner.seed)
        self.batch = 0
        # What is still to be done of going on.
        self._owes_validation, self._generators = False, None

    def go_on_from(self, position: Position) -> None:
        """Begin where ``position`` says; the runner sets epoch and iteration."""
        self.batch, self._owes_validation = position.batch, position.validation_due
        self._generators = position.own_generators()

    def validates_after(self, step: int) -> bool:
        """Whether a validation follows the end of epoch, or iteration, number ``step``."""
        if self.runner.val_loop is None or step < self.val_begin:
            return False
        interval = self.dynamic_intervals[bisect.bisect(self.dynamic_milestones, step + 1) - 1]
        return step % interval == 0 or step == self._last

    def _validate_if_due(self, step: int) -> None:
        self._decide_current_val_interval()
        if self.validates_after(step):
            self.runner.val_loop.run()

    def _begin(self) -> None:
        for loader in loaders(self, self.runner.val_loop):
            give_own_generator(loader)
        self.runner.call_hook('before_train')
        self._validate_if_owed()

    def _validate_if_owed(self) -> None:
        if self._owes_validation and self.runner.val_loop is not None:
            text = 'the checkpoint was written before its validation, which is done first'
            self.runner.logger.info(text, extra=FOR_PEOPLE)
            restore_generators(self._generators)
            self.runner.val_loop.run()
            self._generators = generator_states()

    def _count_cycles(self, done: int, length: int) -> None:
        """Lets the last accumulation cycle of what is iterated end with an update, by the mean over its batches.

        MMEngine lets a cycle run on into the next epoch, past the checkpoint in between, which has no gradients.
        """
        self.runner.optim_wrapper.initialize_count_status(self.runner.model, done, length)

    def _iterate(self, epoch: int, done: int) -> Iterator[Any]:
        """The batches of an epoch that are left."""
        self.dataloader.batch_sampler.begin(epoch, done)
        self._restore()
        yield from self.dataloader

    def _restore(self) -> None:
        """Puts the generators where they were, once."""
        if self._generators is not None:
            restore_generators(self._generators)
            self._generators = None


@LOOPS.register_module(name='EpochBasedTrainLoop')
class ResumableEpochLoop(ResumableLoop, EpochBasedTrainLoop):
    """Training by epochs; arguments as in MMEngine's ``EpochBasedTrainLoop``."""

    def __init__(self, runner, dataloader: DataLoader | dict, max_epochs: int, **kwargs) -> None:
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        self._prepare()

    @property
    def _last(self) -> int:
        return self._max_epochs

    def run(self) -> nn.Module:
        """Trains the epochs that are left."""
        self._begin()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due(self._epoch)
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Trains the batches of an epoch that are left."""
        if not self.batch:
            self._restore()
        self.runner.call_hook('before_train_epoch')
        self._count_cycles(self.batch, len(self.dataloader))
        self.runner.model.train()
        for idx, data_batch in enumerate(self._iterate(self._epoch, self.batch), self.batch):
            self.batch = idx + 1
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self.batch = 0
        self._epoch += 1


@LOOPS.register_module(name='IterBasedTrainLoop')
class ResumableIterLoop(ResumableLoop, IterBasedTrainLoop):
    """Training by iterations; arguments as in MMEngine's ``IterBasedTrainLoop``.

    A sampler that ends, such as ``DefaultSampler``, begins a new round with another order; ``InfiniteSampler`` does not
    end.
    """

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        # Not MMEngine's constructor: it starts the workers.
        super(IterBasedTrainLoop, self).__init__(runner, dataloader)
        self._prepare()
        self._max_iters, self._max_epochs, self._epoch, self._iter = int(max_iters), 1, 0, 0
        self.val_begin, self.val_interval, self.stop_training = val_begin, val_interval, False
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(val_interval, dynamic_intervals)
        runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, 'metainfo', None)

    @property
    def _last(self) -> int:
        return self._max_iters

    def run(self) -> nn.Module:
        """Trains the iterations that are left."""
        self._begin()
        self.runner.call_hook('before_train_epoch')
        self._count_cycles(self._iter, self._max_iters)
        batches = self._rounds()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            data_batch = next(batches)
            self.batch = self._iter + 1
            self.run_iter(data_batch)
            self._validate_if_due(self._iter)
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _rounds(self) -> Iterator[Any]:
        """Batches without end, from the current iteration on."""
        sampler = self.dataloader.batch_sampler.sampler
        endless = isinstance(sampler, InfiniteSampler)
        number, done = (0, self._iter) if endless else divmod(self._iter, len(self.dataloader))
        while True:
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(number)
            yield from self._iterate(number, done)
            number, done = number + 1, 0
