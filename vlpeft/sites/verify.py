"""Verifying that a description fits the code of blocks that the tests of vlpeft do not know: one pass of each tower, in
which y = x + h has to hold at every sub-layer, or y = norm(x + h) where the stream leaves through a norm.

Names alone can be wrong without a word: a block may scale a branch, or pass it through a further norm, before it adds
it to the stream. A method that changes h would then do something else than it says.
"""

from typing import Any

import torch
from torch import nn

from .fused import verify_fused
from .paths import is_below
from .schema import SiteError, SubLayer, Tower
from .taps import Capture
from .twin import run_watched, twin_of


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
    for make in (_itself, twin_of):
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
            return verify_fused(tower, kind)
    return (
        f'tower "{tower.name}": vlpeft is not tested with blocks of class {kind}, and whether their sites are right '
        f'could not be verified ({why})'
    )


def _itself(tower: Tower) -> Tower:
    if next(tower.module.parameters()).is_meta:
        raise ValueError('it has no weights')
    return tower


@torch.no_grad()
def _passed(tower: Tower) -> list[_Sum]:
    """What the sub-layers of a tower added in one pass."""
    sums = [_Sum(tower, block.depth, sub) for block in tower.blocks for sub in block.sublayers.values()]
    run_watched(tower, [part for one in sums for part in (*one.parts, one)])
    return sums
