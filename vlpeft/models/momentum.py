"""Momentum weights: a second copy of the trained tensors only, on the same frozen backbone.

    θ̄ ← m θ̄ + (1 − m) θ

Frozen parameters equal their momentum copies for ever, so none is kept for them.
"""

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class MomentumWeights(nn.Module):
    """Exponential moving average of a model's trained parameters.

    Its buffers bear the parameters' names, so its keys are those of the model below its own prefix.

    Args:
        decay: m. Defaults to 0.995.
        adapter_decay: m for the adapter's parameters that several towers share; ``decay ** 2`` reproduces UniAdapter's
            release, which updates them once for each of its two towers. Defaults to None, which is ``decay``.
    """

    def __init__(self, decay: float = 0.995, adapter_decay: float | None = None) -> None:
        super().__init__()
        self.decay = decay
        self.adapter_decay = decay if adapter_decay is None else adapter_decay

    @staticmethod
    def _trained(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, param) for name, param in model.named_parameters() if param.requires_grad)

    @torch.no_grad()
    def copy_from(self, model: nn.Module, names: Collection[str] | None = None) -> None:
        """Starts (again) from the model's present weights; with ``names``, those parameters only."""
        for name, param in self._trained(model):
            if names is not None and name not in names:
                continue
            *path, leaf = name.split('.')
            node = self
            for part in path:
                if part not in node._modules:
                    node.add_module(part, nn.Module())
                node = node._modules[part]
            node.register_buffer(leaf, param.detach().clone())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """One step of the average of an :class:`~vlpeft.models.tasks.base.AdaptedModel`."""
        averages = dict(self.named_buffers())
        for name, param in self._trained(model):
            shared = name.startswith('adapter.') and model.tower_of(name) == 'shared'
            decay = self.adapter_decay if shared else self.decay
            averages[name].lerp_(param.detach(), 1 - decay)

    def call(self, model: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """``model(*args, **kwargs)`` under the averaged weights, without gradient."""
        weights: dict[str, Tensor] = dict(self.named_buffers())
        with torch.no_grad():
            return functional_call(model, weights, args, kwargs)
