"""Running a tower alone, once, on the smallest input that reaches all of its sites. On ``meta`` it needs no weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.fx.experimental import _config as fx_config
from torch.overrides import TorchFunctionMode, is_tensor_like
from torch.utils._pytree import tree_flatten, tree_unflatten

from .schema import SiteError, Tower

#: The keyword argument by which decoders of transformers get the states of an encoder.
READ = 'encoder_hidden_states'


def zeros(module: nn.Module, *shape: int) -> Tensor:
    """Zeros on a module's device, in the number format of its parameters."""
    return next(param for param in module.parameters() if param.is_floating_point()).new_zeros(shape)


def token_ids(module: nn.Module) -> Tensor:
    """Two token ids (1, 2) on a module's device."""
    return zeros(module, 1, 2).long()


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Inside the ``with`` block no statistics change; afterwards each module has the mode that it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class _Shapes(TorchFunctionMode):
    """What code of transformers asks of values where there are none: whether a mask hides nothing (it does not, in the
    passes of probes), and numbers that the code has as such, which are kept and go along with tensors on ``meta``.
    """

    def __torch_function__(
        self, func: Callable, types: tuple, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.__bool__ and args[0].is_meta:
            return True
        if func is torch.tensor and not is_tensor_like(args[0]):
            kwargs = {key: value for key, value in (kwargs or {}).items() if key != 'device'}
        try:
            return func(*args, **(kwargs or {}))
        except (RuntimeError, NotImplementedError):
            parts, tree = tree_flatten((args, kwargs or {}))
            tensors = [part for part in parts if isinstance(part, Tensor)]
            if not any(part.is_meta for part in tensors) or all(part.is_meta for part in tensors):
                raise
            parts = [part.to('meta') if isinstance(part, Tensor) else part for part in parts]
            args, kwargs = tree_unflatten(parts, tree)
            return func(*args, **kwargs)


@contextmanager
def shapes_suffice(module: nn.Module, attention: str = 'eager') -> Iterator[None]:
    """Inside the ``with`` block a module of transformers on ``meta`` needs no values: masks of SDPA ask for them, and
    rotary positions for autocast, which that device has not.

    Args:
        module: The module; any other is left as it is.
        attention: Its way to compute attention inside the block: 'eager', or 'sdpa' where it can do that. Defaults to
            'eager', with which modules are built on ``meta``.
    """
    config = getattr(module, 'config', None)
    chosen = getattr(config, '_attn_implementation', None)
    if chosen is None or not next(module.parameters()).is_meta:
        yield
        return
    config._attn_implementation = 'sdpa' if attention == 'sdpa' and _can_fuse(module) else 'eager'
    try:
        with (
            patch.object(torch, 'autocast', lambda *args, **kwargs: nullcontext()),
            fx_config.patch(meta_nonzero_assume_all_nonzero=True),
            _Shapes(),
        ):
            yield
    finally:
        config._attn_implementation = chosen


def _can_fuse(module: nn.Module) -> bool:
    """Whether a module of transformers computes attention by SDPA, which cannot cap scores."""
    capped = getattr(module.config.get_text_config(), 'attn_logit_softcapping', None)
    return getattr(module, '_supports_sdpa', False) and not capped


@torch.no_grad()
def run_alone(tower: Tower, states: Tensor | None = None) -> Tensor | None:
    """Runs a tower on the input that its family describes, and after it a connector that lies beside it, or its maps.

    Args:
        tower: The tower.
        states: What a decoder attends to instead of the states (1, S, Dc) of its input. Defaults to None, these.

    Returns:
        The last states of an encoder that a decoder reads; None of other towers.

    Raises:
        SiteError: Its family describes none.
    """
    if tower.probe is None:
        raise SiteError(
            f'the family of {type(tower.module).__name__} (tower "{tower.name}") describes no probe, an input with '
            'which it can be run alone'
        )
    given = dict(tower.probe(tower.module))
    if states is not None and READ in given:
        given[READ] = states
    with shapes_suffice(tower.module):
        output = tower.module(**given)
    for part in tower.outside.values():
        for site in part.linears.values():
            if site.path in tower.beside:
                beside = tower.at(site.path)
                beside(zeros(beside, 1, site.in_features))
        # A connector without such maps takes the tower's tokens.
        if not part.linears and part.h.path in tower.beside:
            tower.at(part.h.path)(output if isinstance(output, Tensor) else output[0])
    if tower.entrance is None or not tower.entrance.is_read:
        return None
    return output if isinstance(output, Tensor) else output[0]
