"""Whether the numbers of a training run are finite, of whole tensors and of those split over processes."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from vlpeft.checkpoint.fit import TRAINING_ONLY


class NonFiniteStepError(RuntimeError):
    """A training step whose loss or gradients are not finite; the message names the batch and where it was saved."""


class Measured(NamedTuple):
    """Attributes:
    losses: Of this process, by name, as scalars on the CPU.
    norm: Of this process's parts of the gradients.
    bad_losses, bad_gradients: Whether they are not finite; in any process if all were asked.
    """

    losses: dict[str, Tensor]
    norm: float
    bad_losses: bool
    bad_gradients: bool


def measure(losses: dict[str, Tensor], optimizer: torch.optim.Optimizer, together: bool, flagged: bool) -> Measured:
    """Losses and gradient norm, in one transfer from the device.

    Args:
        losses: What a step logs, with the total as ``'loss'``.
        optimizer: Its parameters have their gradients.
        together: Whether all processes call, and hear of each other's.
        flagged: Whether to report bad losses whatever they are.
    """
    values = [*losses.values(), get_total_norm(gradients(optimizer))]
    device = losses['loss'].device
    numbers = torch.stack([value.detach().to(device, torch.float64).reshape(()) for value in values])
    flags = (~torch.stack([numbers[list(losses).index('loss')], numbers[-1]]).isfinite()).double()
    if flagged:
        flags[0] = 1
    if together and get_world_size() > 1:
        all_reduce(flags, 'max')
    *numbers, norm, bad_losses, bad_gradients = torch.cat([numbers, flags]).cpu().unbind()
    return Measured(dict(zip(losses, numbers)), float(norm), bool(bad_losses), bool(bad_gradients))


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """This process's parts of all gradients."""
    return [
        own_part(param.grad) for group in optimizer.param_groups for param in group['params'] if param.grad is not None
    ]


def nonfinite_names(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Names of the tensors with a number that is NaN or infinite in this process's part; one transfer for all."""
    names, finite = [], []
    for name, tensor in tensors:
        if tensor.is_floating_point():
            names.append(name)
            finite.append(own_part(tensor.detach()).isfinite().all())
    verdicts = torch.stack(finite).tolist() if finite else []
    return [name for name, verdict in zip(names, verdicts) if not verdict]


def trained_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and values of what training changes: trained parameters, their momentum copies, the queue."""
    yield from ((name, param) for name, param in model.named_parameters() if param.requires_grad)
    yield from ((name, buffer) for name, buffer in model.named_buffers() if name.startswith(TRAINING_ONLY))


def nonfinite_trained(model: nn.Module) -> list[str]:
    """Names of trained tensors that are not finite in any process, the same in all; all processes must call."""
    found = all_gather_object(nonfinite_names(trained_tensors(model)))
    return sorted(set().union(*found))
