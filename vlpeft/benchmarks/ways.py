"""Two ways of taking the same training step: what they compute is compared, what they cost is counted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Size, Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from .kept import Kept


def _attention(query: Size, key: Size, value: Size, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient: Size, query: Size, key: Size, value: Size, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


#: torch's counter knows the attention of GPUs only.
ATTENTION_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


@dataclass
class Way:
    """One of the two ways of taking a step.

    Attributes:
        losses: Computes the losses of the batch.
        gradients: Finds the gradient of what trains by names that both ways share.
        resident: Tensors that are there between steps, the optimiser's apart.
        optimizer: Updates what trains; it has ``step`` and ``zero_grad``.
        found: The losses of the steps so far.
    """

    losses: Callable[[], dict[str, Tensor]]
    gradients: Callable[[], dict[str, Tensor]]
    resident: list[Tensor]
    optimizer: Any
    found: list[float] = field(default_factory=list)

    def step(self) -> None:
        """A training step; what it draws depends on its number alone."""
        torch.manual_seed(len(self.found))
        loss = sum(self.losses().values())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.found.append(loss.item())

    def counted(self) -> tuple[float, dict[str, Tensor], int, int]:
        """Loss and gradients of a forward and backward pass, its floating-point operations, and the bytes that autograd
        keeps of the forward pass beside what is resident.
        """
        kept = Kept(self.resident)
        with FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU) as counter:
            loss = sum(kept.during(self.losses).values())
            loss.backward()
        gradients = self.gradients()
        self.optimizer.zero_grad()
        return loss.item(), gradients, counter.get_total_flops(), kept.total

    def resident_bytes(self) -> int:
        """Bytes of what is resident, each storage once."""
        return sum({value.data_ptr(): value.nbytes for value in self.resident}.values())


@dataclass
class Pair:
    """Ours and the plain way of one step."""

    ours: Way
    plain: Way

    def compare(self, seed: int = 0) -> dict[str, Any]:
        """Takes a forward and backward pass of both from the same seed.

        Returns:
            ``losses``: the difference of the losses; ``gradients``: the largest of a gradient's entry, over the largest
            entry of the same tensor; ``flops`` and ``kept`` bytes of ``ours`` and ``plain``.
        """
        passes = {}
        for name, way in (('ours', self.ours), ('plain', self.plain)):
            torch.manual_seed(seed)
            passes[name] = way.counted()
        (loss, mine, *_), (other_loss, other, *_) = passes.values()
        if mine.keys() != other.keys():
            raise AssertionError(f'other tensors train: {sorted(mine.keys() ^ other.keys())[:5]}')
        return dict(
            losses=abs(loss - other_loss),
            gradients=max(_difference(mine[name], other[name]) for name in mine if not _is_noise(name)),
            flops={name: found[2] for name, found in passes.items()},
            kept={name: found[3] for name, found in passes.items()},
        )


def _difference(mine: Tensor, other: Tensor) -> float:
    """Largest difference of an entry over the largest entry; 0 where both are zero."""
    difference = float((mine - other).abs().max())
    return difference and difference / float(other.abs().max())


def _is_noise(name: str) -> bool:
    """Whether a gradient is zero but for rounding: a constant added to all keys cancels in the softmax."""
    return name.endswith(('video_key_adapter.up_proj.bias', 'video_key_adapter.down_proj.bias'))
