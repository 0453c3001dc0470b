"""Gradient checkpointing of a tower's blocks, aware of the active adapter set.

Only the non-reentrant form runs hooks' gradients right; the set that was active in the forward pass is restored for
the recomputation, which happens in ``backward`` outside any scope.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from .schema import SiteError, Tower
from .switch import AdapterSwitch


def _keeps(value: Any) -> bool:
    """Whether an argument of a block is a cache of keys and values that grows when the block runs."""
    return hasattr(value, 'get_seq_length') and getattr(value, 'grows', True)


class _CheckpointedForward:
    """Stands in for ``block.forward``; an object rather than a closure so that deepcopy carries it along."""

    def __init__(self, block: nn.Module, switch: AdapterSwitch) -> None:
        self.block, self.switch = block, switch

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        forward = type(self.block).forward
        if not torch.is_grad_enabled():
            return forward(self.block, *args, **kwargs)
        if any(_keeps(value) for value in (*args, *kwargs.values())):
            raise SiteError(
                'gradient checkpointing runs blocks twice, which would fill the cache of keys and values '
                'twice; pass use_cache=False in training'
            )
        return checkpoint(forward, self.block, *args, use_reentrant=False, context_fn=self.switch.contexts, **kwargs)


def checkpoint_blocks(tower: Tower, switch: AdapterSwitch) -> None:
    """Recomputes the activations of each block of ``tower`` in the backward pass instead of storing them."""
    for block in tower.block_modules:
        block.forward = _CheckpointedForward(block, switch)
