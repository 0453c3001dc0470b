"""Runs in which a number stops being finite at a given iteration, in a sample, a gradient or a weight."""

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from tests.sharded_runs import NumberedPictures
from vlpeft.registry import DATASETS, HOOKS

#: A finite float32 that no model bears.
HUGE = 3e38


@DATASETS.register_module()
class OverflowingPictures(NumberedPictures):
    """Of :class:`NumberedPictures`, as floats, one with numbers that overflow in a model."""

    def __init__(self, count: int, bad: int) -> None:
        super().__init__(count)
        self.images = self.images.float()
        self.images[bad] = HUGE


@HOOKS.register_module()
class SpoilGradient(Hook):
    """Multiplies gradients of a trained part by ``value`` in some iterations (from 0) of one process."""

    def __init__(self, iterations, value: float = float('nan'), rank: int = 0) -> None:
        self.iterations, self.value, self.rank = iterations, value, rank

    def before_train(self, runner):
        name = next(name for name, param in runner.model.named_parameters() if param.requires_grad)
        part = runner.model.get_submodule(name.rpartition('.')[0])

        def spoil(module, args, output):
            if output.requires_grad and runner.iter in self.iterations and get_rank() == self.rank:
                output.register_hook(lambda gradient: gradient * self.value)

        part.register_forward_hook(spoil)


@HOOKS.register_module()
class SpoilWeight(Hook):
    """Makes a trained weight NaN after iteration number ``iteration``, from 1, with finite losses before."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            with torch.no_grad():
                next(param for param in runner.model.parameters() if param.requires_grad).mul_(float('nan'))


@HOOKS.register_module()
class CountUpdates(Hook):
    """Counts the updates that the optimiser makes."""

    def before_train(self, runner):
        self.updates = []
        runner.optim_wrapper.optimizer.register_step_post_hook(lambda *_: self.updates.append(runner.iter))


def recorded(runner, kind=CountUpdates):
    """The runner's hook of a kind."""
    return next(hook for hook in runner.hooks if isinstance(hook, kind))
