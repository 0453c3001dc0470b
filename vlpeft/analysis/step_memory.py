"""Memory of a training step on shapes alone: it is taken on ``meta``, and the tensors that it holds are counted."""

import gc
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vlpeft.registry import OPTIMIZERS
from vlpeft.sites import shapes_suffice

from .flop_inputs import Sizes
from .flop_passes import FlopError, training_loss
from .live_bytes import Autocast, FusedAttention, LiveBytes


class StepBytes(NamedTuple):
    """What a step takes beside the weights.

    Attributes:
        optimiser: State of the optimiser.
        peak: Most that forward, backward and update held at a time, with gradients, without ``optimiser``.
    """

    optimiser: int
    peak: int


def step_bytes(
    model: nn.Module,
    optim_wrapper: Mapping[str, Any],
    sizes: Sizes,
    autocast: torch.dtype | None = None,
    attention: str = 'sdpa',
    on_cpu: bool = False,
) -> StepBytes:
    """Counts a training step.

    Args:
        model: On ``meta``, of :func:`vlpeft.analysis.flops.build`.
        optim_wrapper: Config; its optimiser takes the step; with ``accumulative_counts`` there are gradients before.
        sizes: Of the samples.
        autocast: Its type. Defaults to None, products are computed in the type of the weights.
        attention: How models of transformers compute it, 'eager' or 'sdpa'. Defaults to 'sdpa', where they can.
        on_cpu: Whether attention is computed as on a CPU, where dropout makes it keep its maps. Defaults to False.

    Raises:
        FlopError: The model's task is not known, or cannot be run on shapes alone.
    """
    model.train()
    trained = [param for param in model.parameters() if param.requires_grad]
    accumulates = optim_wrapper.get('accumulative_counts', 1) > 1
    optimizer = OPTIMIZERS.build(dict(optim_wrapper['optimizer'], params=trained))
    live = LiveBytes()
    with live:
        _give_gradients(trained)
        optimizer.step()
        optimizer.zero_grad()
    gc.collect()
    state = live.now
    with ExitStack() as modes:
        modes.enter_context(live)
        if accumulates:
            _give_gradients(trained)
        live.peak = live.now
        modes.enter_context(model.switch.task(sizes.task))
        modes.enter_context(FusedAttention(keeps_dropped=on_cpu))
        # In the backward pass too, where blocks are computed again.
        modes.enter_context(shapes_suffice(getattr(model, 'vlm', getattr(model, 'lm', model)), attention))
        if autocast is not None:
            modes.enter_context(Autocast(autocast))
        try:
            _backward(training_loss(model, sizes, attention))
        except (NotImplementedError, RuntimeError) as error:
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise FlopError(f'{type(model).__name__}: cannot take a step on shapes alone: {reason}') from error
        optimizer.step()
    return StepBytes(state, live.peak - state)


def _give_gradients(params: list[nn.Parameter]) -> None:
    for param in params:
        param.grad = torch.empty_like(param)


def _backward(loss: Tensor) -> None:
    """Not by the method, inside which modes of functions are off: blocks that are recomputed would not see them."""
    engine = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )
