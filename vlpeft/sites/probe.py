"""Running a tower alone, once, on the smallest input that reaches all of its sites. On ``meta`` it needs no weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

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


@contextmanager
def shapes_suffice(module: nn.Module) -> Iterator[None]:
    """Inside the ``with`` block a module of transformers on ``meta`` needs no values: masks of SDPA ask for them, and
    rotary positions for autocast, which that device has not.
    """
    config = getattr(module, 'config', None)
    chosen = getattr(config, '_attn_implementation', None)
    if chosen is None or not next(module.parameters()).is_meta:
        yield
        return
    rotary = [part for name, part in module.named_modules() if name.endswith('rotary_emb')]
    for part in rotary:
        part.forward = partial(_rotary_shapes, 2 * len(part.inv_freq))
    config._attn_implementation = 'eager'
    try:
        yield
    finally:
        config._attn_implementation = chosen
        for part in rotary:
            del part.forward


def _rotary_shapes(width: int, states: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
    angles = states.new_empty(*position_ids.shape, width)
    return angles, angles


@torch.no_grad()
def run_alone(tower: Tower, states: Tensor | None = None) -> Tensor | None:
    """Runs a tower on the input that its family describes, and after it the maps of a connector that lies beside it.

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
    if tower.entrance is None or not tower.entrance.is_read:
        return None
    return output if isinstance(output, Tensor) else output[0]
