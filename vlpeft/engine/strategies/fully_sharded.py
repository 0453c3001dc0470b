"""Fully sharded training: each process holds its part of every weight, gradient and optimiser state.

MMEngine's own ``FSDPStrategy`` builds on the older ``FullyShardedDataParallel``, which refuses to run without a GPU,
renames parameters (so trained and frozen ones could not be told from each other by name) and keeps gradients for the
frozen weights that share a unit with trained ones. This one builds on ``fully_shard``.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import mmengine
import torch
from mmengine._strategy import DDPStrategy
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.model import BaseDataPreprocessor
from mmengine.runner.checkpoint import save_checkpoint
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.utils._pytree import tree_map

from vlpeft.engine.hooks.resumable_checkpoint import ATOMIC
from vlpeft.registry import STRATEGIES
from vlpeft.sites import checkpoint_blocks

from .sharding import gathered, shard, split_like


@STRATEGIES.register_module()
class FullyShardedStrategy(DDPStrategy):
    """Shards an :class:`AdaptedModel` over all processes (:func:`vlpeft.engine.strategies.sharding.shard`).

    Checkpoints are those of any other run: whole tensors, written by the first process; what
    :class:`AdapterCheckpointHook` leaves out is never gathered. A run may be resumed, or its checkpoint tested, on any
    number of processes, with or without this strategy. A single process without a launcher has nothing to shard and
    runs the model as it is.

    Args:
        mixed_precision: ``dict(param_dtype='bfloat16', reduce_dtype='float32')``: types in which units compute (and
            frozen weights are stored) and in which gradients are summed. Defaults to None: those of the weights.
        gradient_checkpointing: Names of towers whose blocks recompute their activations. Defaults to ().
        **kwargs: Of MMEngine's ``BaseStrategy``.
    """

    def __init__(
        self, mixed_precision: Mapping[str, str] | None = None, gradient_checkpointing: Sequence[str] = (), **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.dtypes = {name: getattr(torch, dtype) for name, dtype in (mixed_precision or {}).items()}
        self.gradient_checkpointing = gradient_checkpointing

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        for name in self.gradient_checkpointing:
            checkpoint_blocks(model.towers[name], model.switch)
        if not self.distributed:
            return model.to(get_device())
        shard(model, init_device_mesh(get_device(), (self.world_size,)), **self.dtypes)
        for module in model.modules():
            # It remembers its device itself.
            if isinstance(module, BaseDataPreprocessor):
                module.to(get_device())
        return model

    def model_state_dict(self) -> dict:
        """The state dict as it is laid out; :meth:`save_checkpoint` gathers what stays in it."""
        return self.model.state_dict()

    def save_checkpoint(
        self,
        filename: str,
        *,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        extra_ckpt: dict | None = None,
        callback: Callable | None = None,
    ) -> None:
        """Lets ``callback`` choose what to keep, gathers that, and writes it in the first process."""
        checkpoint = dict(extra_ckpt, state_dict=self.model_state_dict())
        if save_optimizer:
            checkpoint['optimizer'] = self.optim_state_dict()
        if save_param_scheduler and hasattr(self, 'param_schedulers'):
            checkpoint['param_schedulers'] = self.scheduler_state_dict()
        checkpoint['meta'].update(seed=self.seed, time=time.strftime('%Y%m%d_%H%M%S'), mmengine=mmengine.__version__)
        callback(checkpoint)
        checkpoint = tree_map(gathered, checkpoint)
        if is_main_process():
            save_checkpoint(checkpoint, filename, backend_args=ATOMIC)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Takes the state of any run; that of each parameter is split as the parameter is."""
        params = [param for group in self.optim_wrapper.param_groups for param in group['params']]
        state = {
            index: {name: split_like(value, params[index]) for name, value in values.items()}
            for index, values in state_dict['state'].items()
        }
        super().load_optim_state_dict(dict(state_dict, state=state))
