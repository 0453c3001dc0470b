"""What verifying a description runs: a tower with something to see, and a small random twin of one."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .families.registry import describe
from .probe import in_eval_mode, run_alone
from .schema import Tower
from .taps import Capture

#: Widths and depths of a twin by the name that a config has for them. Heads keep their width, on which positions rest.
_SMALL = dict(num_hidden_layers=2, depth=2, intermediate_size=16, vocab_size=16, pad_token_id=None)
HEADS = ('num_attention_heads', 'num_heads')
_WIDTHS = ('hidden_size', 'embed_dim')


def run_watched(tower: Tower, captures: Iterable[Capture]) -> None:
    """Runs a tower once, in eval mode, while captures watch its taps."""
    handles = [handle for capture in captures for handle in _hooked(tower, capture)]
    try:
        with in_eval_mode(tower.module):
            run_alone(replace(tower, probe=partial(_filled, tower)))
    finally:
        for handle in handles:
            handle.remove()


def _filled(tower: Tower, module: nn.Module) -> dict[str, Any]:
    """The tower's probe with something to see: words that are no padding, noise in place of zeros."""
    given = dict(tower.probe(module))
    generator = torch.Generator().manual_seed(0)
    for name, value in given.items():
        if name == 'input_ids':
            given[name] = torch.arange(1, 1 + value.shape[-1], device=value.device).expand_as(value)
        elif isinstance(value, Tensor) and value.is_floating_point():
            given[name] = torch.randn(value.shape, generator=generator).to(value)
    return given


def _hooked(tower: Tower, capture: Capture) -> Iterator[RemovableHandle]:
    module = tower.at(capture.tap.path)
    if capture.tap.side == 'input':
        yield module.register_forward_pre_hook(capture.on_input, with_kwargs=True)
    else:
        yield module.register_forward_hook(capture.on_output)
    if capture.tap.shape_of is not None:
        yield tower.at(capture.tap.shape_of).register_forward_hook(capture.on_shape)


def twin_of(tower: Tower) -> Tower:
    """A tower of the same classes, small, random, in float64: what is verified is their code."""
    config = copy.deepcopy(tower.module.config)
    heads = next(name for name in HEADS if hasattr(config, name))
    width = next(name for name in _WIDTHS if hasattr(config, name))
    grouped = getattr(config, 'num_key_value_heads', None) not in (None, getattr(config, heads))
    small = {name: value for name, value in _SMALL.items() if hasattr(config, name)}
    small[width] = 2 * (getattr(config, width) // getattr(config, heads))
    small[heads] = 2
    if hasattr(config, 'num_key_value_heads'):
        small['num_key_value_heads'] = 1 if grouped else 2
    if getattr(config, 'layer_types', None):
        small['layer_types'] = config.layer_types[:2]
    for name, value in small.items():
        setattr(config, name, value)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        module = type(tower.module)(config).double()
        # Some configs draw such small weights that nothing would show.
        for param in module.parameters():
            param.normal_(0, 0.2) if param.ndim > 1 else param.add_(0.1 * torch.randn_like(param))
    return describe(module, tower.name)
