"""Verifying that a description fits the code of blocks that the tests of vlpeft do not know: one pass of each tower, in
which y = x + h has to hold at every sub-layer, or y = norm(x + h) where the stream leaves through a norm.

Names alone can be wrong without a word: a block may scale a branch, or pass it through a further norm, before it adds
it to the stream. A method that changes h would then do something else than it says.
"""

import copy
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .families.registry import describe
from .paths import is_below
from .probe import in_eval_mode, run_alone
from .schema import SiteError, SubLayer, Tower
from .taps import Capture
from .weights import bias_rows, weight_rows

#: Widths and depths of a twin by the name that a config has for them. Heads keep their width, on which positions rest.
_SMALL = dict(num_hidden_layers=2, depth=2, intermediate_size=16, vocab_size=16, pad_token_id=None)
_HEADS = ('num_attention_heads', 'num_heads')
_WIDTHS = ('hidden_size', 'embed_dim')


class _Sum(Capture):
    """Takes y, and compares it with what x and h make."""

    def __init__(self, tower: Tower, depth: int, sub: SubLayer) -> None:
        super().__init__(sub.y)
        self.tower, self.depth, self.sub = tower, depth, sub
        last = list(sub.linears.values())[-1].output if sub.h is None else sub.h
        self.parts = Capture(sub.x, copies=True), Capture(last, copies=True)
        self.wrong: str | None = None
        self.is_seen = False

    def on_input(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """Forward pre-hook."""
        super().on_input(module, args, kwargs)
        self.judge()

    def on_output(self, module: nn.Module, args: tuple, output: Any) -> None:
        """Forward hook."""
        super().on_output(module, args, output)
        self.judge()

    def judge(self) -> None:
        """Compares, once all have passed."""
        x, h = (part.value for part in self.parts)
        y, self.value = self.value, None
        if x is None or h is None or y is None:
            return
        self.parts[0].value = self.parts[1].value = None
        if not x.shape == h.shape == y.shape:
            self.wrong = f'x, h and y are of shapes {tuple(x.shape)}, {tuple(h.shape)} and {tuple(y.shape)}'
            return
        eps = torch.finfo(y.dtype).eps
        x, h, y = (part.double() for part in (x, h, y))
        # The sum of two numbers of the model's format is rounded to it, perhaps twice.
        slack = eps * (x.abs() + h.abs())
        if self.sub.h is None:
            # A bare parameter scales what the last map returns, each channel by its own number, which is found up to
            # the rounding of the largest y.
            rows = tuple(range(h.ndim - 1))
            size = h.square().mean(rows).sqrt().clamp_min(torch.finfo(h.dtype).tiny)
            slack = 2 * eps * (x.abs() + y.abs()).amax(rows) * (1 + h.abs() / size)
            h = h * ((y - x) * h).mean(rows) / size.square()
        expected = x + h
        inside = [path for path in self.tower.norms or () if is_below(self.sub.y.path, path)]
        if self.sub.y.side == 'output' and len(inside) == 1 and self.sub.y.path != self.sub.x.path:
            norm = self.tower.at(inside[0])
            weight = next(norm.parameters())
            expected = norm(expected.to(weight.dtype)).double()
            slack = 8 * eps * (expected.abs() + weight.double().abs())
        # Where h drowns in the rounding of x, nothing is seen.
        self.is_seen = bool((h.abs() > 8 * slack).any())
        excess = (expected - y).abs() - slack
        if bool((excess > 0).any()):
            at = excess.argmax()
            self.wrong = (
                f'the stream after it differs from x + h by up to {(expected - y).abs().max():.3g}, where '
                f'rounding allows {slack.flatten()[at]:.3g}'
            )


def verify(tower: Tower) -> str | None:
    """Runs a tower once, if its blocks are of a class that the tests do not know, and compares y with x + h everywhere.

    A tower with weights runs as it is, in its own number format; where that shows too little, and on ``meta``, a small
    random twin of its config runs in float64.

    Returns:
        Why it could not be verified, in one line; None where it was, or is known.

    Raises:
        SiteError: They differ; the message names the first block and sub-layer, and by how much.
    """
    if tower.is_tested:
        return None
    kind, why = type(tower.block_modules[0]).__name__, 'it is too little that they add to the stream'
    for make in (_itself, _twin):
        try:
            sums = _passed(make(tower))
        except Exception as error:
            why = f'{type(error).__name__}: {str(error).partition(chr(10))[0]}'
            continue
        for one in sums:
            if one.wrong is not None:
                raise SiteError(
                    f'tower "{tower.name}": the description does not fit {kind}: at {one.sub.kind} of block '
                    f'{one.depth} {one.wrong}; leave the tower out with towers=dict(…), or describe it with '
                    '@vlpeft.sites.family'
                )
        if all(one.is_seen for one in sums):
            return _fused_wrong(tower, kind)
    return (
        f'tower "{tower.name}": vlpeft is not tested with blocks of class {kind}, and whether their sites are right '
        f'could not be verified ({why})'
    )


@torch.no_grad()
def _fused_wrong(tower: Tower, kind: str) -> str | None:
    """Compares the parts of a fused qkv with what they are called, in a twin: an attention whose queries and keys are
    zero returns the mean of the values that a token sees; of the first token of a causal tower, its own.
    """
    if 'v' not in (maps := tower.blocks[0].sublayers['self_attn'].linears) or maps['v'].span is None:
        return None
    try:
        twin = _twin(tower)
        maps = twin.blocks[0].sublayers['self_attn'].linears
        for role in 'qk':
            module = twin.at(maps[role].path)
            for rows in (weight_rows(module, maps[role].span), bias_rows(module, maps[role].span)):
                _ = None if rows is None else rows.zero_()
        values, mixed = (Capture(tap, copies=True) for tap in (maps['v'].output, maps['o'].input))
        _run(twin, [values, mixed])
    except Exception as error:
        return (
            f'tower "{tower.name}": vlpeft is not tested with blocks of class {kind}, and whether the parts of their '
            f'fused qkv are in this order could not be verified ({type(error).__name__}: {error})'
        )
    v, found = values.value, mixed.value
    v = v[..., :1, :] if twin.causal else v.mean(-2, keepdim=True)
    found = found[..., :1, :] if twin.causal else found
    # Neighbouring heads share those of grouped values.
    heads = v.unflatten(-1, (-1, _head_width(twin)))
    v = heads.repeat_interleave(found.shape[-1] // v.shape[-1], -2).flatten(-2)
    if not torch.allclose(found, v.expand_as(found), rtol=1e-9, atol=1e-12):
        raise SiteError(
            f'tower "{tower.name}": the description does not fit {kind}: the parts of the fused map {maps["v"].path} '
            'are not queries, keys and values one after another; leave the tower out with towers=dict(…), or describe '
            'it with @vlpeft.sites.family'
        )
    return None


def _head_width(tower: Tower) -> int:
    config = tower.module.config
    heads = next(getattr(config, name) for name in _HEADS if hasattr(config, name))
    given = getattr(config, 'head_dim', None)
    return given or tower.blocks[0].sublayers['self_attn'].linears['q'].out_features // heads


def _itself(tower: Tower) -> Tower:
    if next(tower.module.parameters()).is_meta:
        raise ValueError('it has no weights')
    return tower


@torch.no_grad()
def _passed(tower: Tower) -> list[_Sum]:
    """What the sub-layers of a tower added in one pass."""
    sums = [_Sum(tower, block.depth, sub) for block in tower.blocks for sub in block.sublayers.values()]
    _run(tower, [part for one in sums for part in (*one.parts, one)])
    return sums


def _run(tower: Tower, captures: Iterable[Capture]) -> None:
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


def _hooked(tower: Tower, capture: Capture) -> Iterable[Any]:
    module = tower.at(capture.tap.path)
    if capture.tap.side == 'input':
        yield module.register_forward_pre_hook(capture.on_input, with_kwargs=True)
    else:
        yield module.register_forward_hook(capture.on_output)
    if capture.tap.shape_of is not None:
        yield tower.at(capture.tap.shape_of).register_forward_hook(capture.on_shape)


def _twin(tower: Tower) -> Tower:
    """A tower of the same classes, small, random, in float64: what is verified is their code."""
    config = copy.deepcopy(tower.module.config)
    heads = next(name for name in _HEADS if hasattr(config, name))
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
