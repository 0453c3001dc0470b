"""Sharding an adapted model with PyTorch's ``fully_shard``: what is a unit, and when the whole model is there.

Every block of every tower, the adapter, and the rest (embeddings, heads) are units: their weights are gathered when
the unit runs and freed afterwards. Zhao et al., "PyTorch FSDP", VLDB 2023.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


class _ModeSwitch:
    """Stands in for ``model.train``: gathers all units for evaluation and frees them for training.

    In evaluation each process may have another number of batches and of generated tokens, so none may wait for the
    others inside a forward pass; nor is the model gathered anew for every token.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.units = [module for module in model.modules() if isinstance(module, FSDPModule)]

    def __call__(self, mode: bool = True) -> nn.Module:
        type(self.model).train(self.model, mode)
        for module in self.model.modules():
            # By this mark transformers lets processes wait for the one that generates longest.
            module._is_fsdp_managed_module = mode
        # Decides what is the outermost unit before any part of the model is run alone; there is no public way.
        self.model._get_fsdp_state()._lazy_init()
        for unit in self.units:
            # The rest is needed until the backward pass begins, the adapter by every block.
            freed = mode and unit is not self.model and unit is not self.model.adapter
            unit.set_reshard_after_forward(freed, recurse=False)
            if mode:
                unit.reshard()
            else:
                unit.unshard()
        return self.model


def _gather_adapter(model: nn.Module, args: tuple) -> None:
    """Blocks call methods of the adapter's parts, which no hook of its unit sees."""
    model.adapter.unshard()


def shard(
    model: nn.Module, mesh: DeviceMesh, param_dtype: torch.dtype | None = None, reduce_dtype: torch.dtype | None = None
) -> None:
    """Shards an :class:`AdaptedModel` in place; its names, and what is called how, stay.

    ``model.train()`` and ``model.eval()`` must then be called by all processes together, as MMEngine's loops do.

    Args:
        model: On any device; each unit is moved to that of ``mesh`` when its turn comes.
        mesh: One-dimensional, over all processes.
        param_dtype: In which units compute; frozen weights are also stored in it, trained ones as they are. Defaults
            to None: as they are.
        reduce_dtype: In which gradients are summed. Defaults to None: as they are computed.
    """
    if param_dtype is not None:
        for param in model.parameters():
            if not param.requires_grad:
                param.data = param.data.to(param_dtype)
    options = dict(mesh=mesh, mp_policy=MixedPrecisionPolicy(param_dtype=param_dtype, reduce_dtype=reduce_dtype))
    for block in dict.fromkeys(block for tower in model.towers.values() for block in tower.block_modules):
        fully_shard(block, **options)
    if model.adapter is not None:
        fully_shard(model.adapter, reshard_after_forward=False, **options)
        model.register_forward_pre_hook(_gather_adapter)
    fully_shard(model, reshard_after_forward=False, **options)
    model.register_load_state_dict_pre_hook(_split_loaded)
    model.train = _ModeSwitch(model)


def gathered(value: Any) -> Any:
    """A tensor that is split over processes, as a whole one on the CPU; all processes must call. Others stay."""
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def split_like(value: Any, param: Tensor) -> Any:
    """A whole tensor of the shape of ``param``, split as it is; other values stay."""
    if (
        isinstance(param, DTensor)
        and isinstance(value, Tensor)
        and not isinstance(value, DTensor)
        and (value.shape == param.shape)
    ):
        return distribute_tensor(value.to(param.device), param.device_mesh, param.placements)
    return value


def _split_loaded(model: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """Lets ``model.load_state_dict`` take whole tensors, which every checkpoint holds."""
    for name, param in model.state_dict().items():
        if name in state:
            state[name] = split_like(state[name], param)
