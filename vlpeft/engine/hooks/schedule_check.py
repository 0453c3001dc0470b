"""Says before training that a warm-up is longer than the run, so that the learning rate never gets to its value."""

import itertools

from mmengine.hooks import Hook
from mmengine.optim.scheduler import ConstantParamScheduler, LinearParamScheduler
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from vlpeft.engine.optim import WarmupCosineLR, WarmupLinear
from vlpeft.registry import HOOKS


def _full_rate_at(scheduler: _ParamScheduler) -> int | None:
    """First of the scheduler's steps that has the full rate; None for a scheduler without warm-up."""
    if isinstance(scheduler, (WarmupCosineLR, WarmupLinear)):
        return scheduler.full_rate_at
    rises = (
        isinstance(scheduler, LinearParamScheduler)
        and scheduler.start_factor < scheduler.end_factor
        or isinstance(scheduler, ConstantParamScheduler)
        and scheduler.factor < 1
    )
    return scheduler.end - 1 if rises else None


def _room(scheduler: _ParamScheduler, runner) -> tuple[int, str]:
    """Steps that the scheduler's warm-up has at most, and whose they are."""
    if scheduler.by_epoch:
        return runner.max_epochs, 'epochs of the run'
    if isinstance(scheduler, WarmupCosineLR) and scheduler.epoch_length < runner.max_iters:
        return scheduler.epoch_length, 'iterations of the first epoch, with which its warm-up ends'
    return runner.max_iters, 'iterations of the run'


@HOOKS.register_module()
class ScheduleCheckHook(Hook):
    """Warns of every schedule whose warm-up does not end within the run; knows ours, LinearLR and ConstantLR."""

    def before_train(self, runner) -> None:
        schedulers = runner.param_schedulers or ()
        if isinstance(schedulers, dict):  # of several optimisers
            schedulers = itertools.chain(*schedulers.values())
        for scheduler in schedulers:
            needed, (room, whose) = _full_rate_at(scheduler), _room(scheduler, runner)
            if needed is not None and needed >= room:
                runner.logger.warning(
                    f'{type(scheduler).__name__} comes to the full learning rate after {needed} '
                    f'{"epochs" if scheduler.by_epoch else "iterations"}, but there are {room} {whose}: shorten the '
                    'warm-up (param_scheduler) or train longer'
                )
