"""Ramps the weight of momentum targets over the first epoch."""

from mmengine.hooks import Hook

from vlpeft.engine.task_model import task_model
from vlpeft.registry import HOOKS


@HOOKS.register_module()
class AlphaRampHook(Hook):
    """Raises α of the model's ITC head linearly from 0 during epoch 0; heads without momentum targets have none."""

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        head = task_model(runner).itc_head
        if head.uses_momentum:
            head.ramp = min(1.0, runner.iter / len(runner.train_dataloader))
