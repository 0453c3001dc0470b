"""Where a run stands: what a checkpoint adds to weights and optimiser, so that a resumed run equals the uninterrupted.

A run resumed on another number of processes, with another batch size or another set has epochs of another length. Its
iteration is then counted anew, and schedules that count iterations are run through from the start with the new length.
"""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.runner import EpochBasedTrainLoop

from vlpeft.checkpoint import CheckpointError
from vlpeft.datasets.generators import generator_states

KEY = 'position'


class Position(NamedTuple):
    """Attributes:
    batch: Batches of the epoch that are done; 0 between epochs, the iteration in training by iterations.
    validation_due: Whether the validation after this step was still to come.
    epoch_length: Batches of an epoch.
    world_size: Number of processes.
    batch_size: Samples of a batch of one process.
    samples: Size of the set.
    generators: :func:`generator_states` of each process.
    """

    batch: int
    validation_due: bool
    epoch_length: int
    world_size: int
    batch_size: int
    samples: int
    generators: list

    @classmethod
    def of(cls, runner, batch: int, validation_due: bool) -> 'Position':
        """That of a run; all processes must call."""
        return cls(batch, validation_due, **layout(runner), generators=all_gather_object(generator_states()))

    @classmethod
    def read(cls, checkpoint: Mapping[str, Any]) -> 'Position | None':
        """That of a checkpoint; None of one that has none."""
        return cls(**checkpoint[KEY]) if KEY in checkpoint else None

    def own_generators(self) -> Mapping[str, Any]:
        """States of this process's generators; none if there were other processes."""
        return self.generators[get_rank()] if len(self.generators) == get_world_size() else {}

    def differences(self, runner) -> list[str]:
        """What is another in this run, in words."""
        now = layout(runner)
        words = dict(
            world_size='processes',
            batch_size='samples in a batch',
            samples='samples in the set',
            epoch_length='batches in an epoch',
        )
        return [
            f'{getattr(self, name)} -> {now[name]} {word}'
            for name, word in words.items()
            if getattr(self, name) != now[name]
        ]


def layout(runner) -> dict[str, int]:
    """How a run walks through its set."""
    loader = runner.train_loop.dataloader
    return dict(
        epoch_length=len(loader),
        world_size=get_world_size(),
        batch_size=loader.batch_sampler.batch_size,
        samples=len(loader.dataset),
    )


def require_resumable(checkpoint: Mapping[str, Any], origin: str) -> None:
    """Refuses a checkpoint that holds weights only, such as a best one.

    Raises:
        CheckpointError: It has no optimiser or no iteration.
    """
    if 'optimizer' not in checkpoint or 'iter' not in (checkpoint.get('meta') or {}):
        raise CheckpointError(
            f'{origin} holds no optimiser and no iteration, so no run can go on from it; start a new '
            f'one from its weights with --cfg-options load_from={origin}'
        )


def resume_at(runner, checkpoint: dict, origin: str) -> None:
    """Tells a run's training loop where a checkpoint stood, and says what cannot be as in the uninterrupted run.

    Args:
        runner: Whose optimiser and schedulers are as built.
        checkpoint: Changed in place where epochs have another length: iteration, rates and schedules.
        origin: Its name in messages.

    Raises:
        CheckpointError: It holds weights only.
    """
    require_resumable(checkpoint, origin)
    position, loop = Position.read(checkpoint), runner.train_loop
    if position is None:
        runner.logger.warning(
            f'{origin} records neither its place in the epoch nor the state of random generators; '
            f'training goes on at the beginning of epoch {checkpoint["meta"]["epoch"] + 1}'
        )
        return
    if differences := position.differences(runner):
        if isinstance(loop, EpochBasedTrainLoop):
            position = _recount(runner, checkpoint, position)
        runner.logger.warning(
            f'{origin} comes from a run of another form ({", ".join(differences)}): samples come in '
            'another order, and results are not those of the uninterrupted run; schedules follow '
            f'the new length, training goes on at iteration {checkpoint["meta"]["iter"]}'
        )
    loop.go_on_from(position)


def _recount(runner, checkpoint: dict, position: Position) -> Position:
    """Counts the iteration by the length of this run's epochs, and runs its schedules through again."""
    length, meta = len(runner.train_loop.dataloader), checkpoint['meta']
    batch = position.batch * length // position.epoch_length
    batch -= batch % getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    meta['iter'] = meta['epoch'] * length + batch
    if runner.param_schedulers:
        _run_through(runner.param_schedulers, meta['epoch'], batch, length)
        checkpoint['param_schedulers'] = [scheduler.state_dict() for scheduler in runner.param_schedulers]
        for group, fresh in zip(checkpoint['optimizer']['param_groups'], runner.optim_wrapper.param_groups):
            group.update({name: value for name, value in fresh.items() if name != 'params'})
    return position._replace(batch=batch, **layout(runner))


def _run_through(schedulers: list, epochs: int, batch: int, length: int) -> None:
    """Steps schedulers as a run does that has done ``epochs`` epochs and ``batch`` batches."""
    by_iter = [scheduler for scheduler in schedulers if not scheduler.by_epoch]
    by_epoch = [scheduler for scheduler in schedulers if scheduler.by_epoch]
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Detected call of `scheduler.step')
        for epoch in range(epochs + 1):
            for _ in range(length if epoch < epochs else batch):
                for scheduler in by_iter:
                    scheduler.step()
            for scheduler in by_epoch if epoch < epochs else ():
                scheduler.step()
