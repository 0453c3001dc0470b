"""Gradient accumulation whose cycles end with the epoch.

MMEngine lets a cycle run on into the next epoch, past the checkpoint that is written in between. The gradient gathered
so far is in no checkpoint (and, over several processes, differs between them), so a run resumed there loses it.
"""

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from vlpeft.registry import HOOKS


@HOOKS.register_module()
class WholeCyclesHook(Hook):
    """Ends the last accumulation cycle of every epoch with an update, by the mean over the batches that it has.

    MMEngine's wrappers do so at the end of the run; here their count starts anew with each epoch. Without accumulation
    and in iteration-based training nothing changes.
    """

    def before_train_epoch(self, runner) -> None:
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            runner.optim_wrapper.initialize_count_status(runner.model, 0, len(runner.train_dataloader))
