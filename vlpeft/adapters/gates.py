r"""VL-PET's granularity-controlled gates: how finely the output of a branch is weighted, G in y = s · G ⊙ u.

    name        in the paper   G                                         shape       made from
    large       G_large        σ(W_up φ(W_down x))                       (B, L, D)   x
    middle_x    G_middleX      σ(w · (x + u))                            (B, L, 1)   x and u
    middle_y    G_middleY      1 + z  or  1 + σ(z)                       (D,)        nothing: z is a parameter
    small       G_small        mean over the L tokens of σ(w · [x ; u])  (B, 1, 1)   x and u

x is the sub-layer's input on the residual stream, u its (adapted) output, both (B, L, D); every map has a bias.

Hu et al., "VL-PET: Vision-and-Language Parameter-Efficient Tuning via Granularity Control", ICCV 2023.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.sites import Binding, SiteError, Tower

from .bottleneck_layer import INITS, BottleneckLayer, check_choice, check_scale, draw_normal, zero
from .places import Place, branches

GRANULARITIES = ('large', 'middle_x', 'middle_y', 'small')
MIDDLE_Y = ('1+z', '1+sigmoid(z)')
MEANS = ('all', 'masked')


class LargeGate(nn.Module):
    """A weight for each token and channel.

    Args:
        width: D.
        bottleneck: r_g.
        init: As for :class:`BottleneckLayer`.
    """

    def __init__(self, width: int, bottleneck: int, init: str) -> None:
        super().__init__()
        self.bottleneck = BottleneckLayer(width, width, bottleneck, init=init)

    def forward(self, x: Tensor, u: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.sigmoid(self.bottleneck(x))


class LinearGate(nn.Module):
    """What :class:`MiddleXGate` and :class:`SmallGate` share: one linear map to a single weight.

    Args:
        in_features: D, or 2 D.
        init: ``'normal'``: weight N(0, 0.02), bias zero; ``'zero_up'``: both zero.
    """

    def __init__(self, in_features: int, init: str) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 1)
        if init == 'normal':
            draw_normal(self)
        else:
            zero(self.linear)


class MiddleXGate(LinearGate):
    """A weight for each token."""

    def forward(self, x: Tensor, u: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.sigmoid(self.linear(x + u))


class MiddleYGate(nn.Module):
    """A weight for each channel, the same for all inputs.

    Args:
        width: D.
        form: ``'1+z'`` as released, or ``'1+sigmoid(z)'`` as in the paper's figure.
        init: ``'normal'``: z from N(0, 0.02); ``'zero_up'``: zero.
    """

    def __init__(self, width: int, form: str, init: str) -> None:
        super().__init__()
        self.form = form
        self.z = nn.Parameter(torch.zeros(width))
        if init == 'normal':
            nn.init.normal_(self.z, std=0.02)

    def forward(self, x: Tensor, u: Tensor, mask: Tensor | None = None) -> Tensor:
        return 1 + (self.z if self.form == '1+z' else torch.sigmoid(self.z))


def real_tokens(mask: Tensor) -> Tensor:
    """(B, L) True where any query sees the token; ``mask`` (B, 1, L or 1, L) as for :class:`vlpeft.sites.Block`."""
    seen = mask if mask.dtype is torch.bool else mask == 0
    return seen.flatten(1, 2).any(1)


class SmallGate(LinearGate):
    """A weight for each example.

    Args:
        width: D.
        mean: ``'all'`` tokens as released, padding included, so that an example's output depends on its batch; or
            ``'masked'``, over the real tokens.
        init: As for :class:`LinearGate`.
    """

    def __init__(self, width: int, mean: str, init: str) -> None:
        super().__init__(2 * width, init)
        self.mean = mean

    def forward(self, x: Tensor, u: Tensor, mask: Tensor | None = None) -> Tensor:
        # [x ; u] is never built: its map is the sum of the maps of its halves.
        of_x, of_u = self.linear.weight.chunk(2, dim=1)
        weights = torch.sigmoid(F.linear(x, of_x) + F.linear(u, of_u, self.linear.bias))
        if self.mean == 'all' or mask is None:
            return weights.mean(dim=1, keepdim=True)
        real = real_tokens(mask)[..., None].to(weights.dtype)
        return (weights * real).sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class GateOptions:
    """What a gate is, as configs say it.

    Attributes:
        wanted_by: The method, for messages.
        granularity: ``'large'``, ``'middle_x'``, ``'middle_y'`` or ``'small'``.
        bottleneck: r_g of large.
        scale: s.
        init: ``'normal'`` or ``'zero_up'``: large's up-projection, the only map of middle_x and small, or z is zero.
        middle_y: Form of middle_y.
        mean: Mean of small.

    Raises:
        ValueError: Unknown ``granularity``, ``init``, ``middle_y`` or ``mean``, or a scale of zero.
    """

    wanted_by: str
    granularity: str
    bottleneck: int
    scale: float
    init: str
    middle_y: str
    mean: str

    def __post_init__(self) -> None:
        for option, choices in (
            ('granularity', GRANULARITIES),
            ('init', INITS),
            ('middle_y', MIDDLE_Y),
            ('mean', MEANS),
        ):
            check_choice(self.wanted_by, option, getattr(self, option), choices)
        check_scale('scale', self.scale)

    def build(self, width: int) -> nn.Module:
        """The gate of a branch of that width."""
        if self.granularity == 'large':
            return LargeGate(width, self.bottleneck, self.init)
        if self.granularity == 'middle_x':
            return MiddleXGate(width, self.init)
        if self.granularity == 'middle_y':
            return MiddleYGate(width, self.middle_y, self.init)
        return SmallGate(width, self.mean, self.init)

    def places(self, targets: Mapping, towers: Mapping[str, Tower]) -> Iterator[Place]:
        """The chosen sub-layers, as of :func:`vlpeft.adapters.places.branches`.

        Raises:
            SiteError: As there; or the gate averages over tokens where that is wrong, or over those of a mask that
                does not exist.
        """
        for place in branches(targets, towers, self.wanted_by):
            if self.granularity == 'small':
                self._check_mean(towers[place.tower], place.depth)
            yield place

    def _check_mean(self, tower: Tower, depth: int) -> None:
        others = [name for name in GRANULARITIES if name != 'small']
        tower.check_tokens_may_mix(f"{self.wanted_by} with granularity='small'", f'choose granularity from {others}')
        if self.mean == 'masked' and tower.blocks[depth].mask is None:
            raise SiteError(
                f"{self.wanted_by}: mean='masked' needs the mask of padded tokens, which the blocks of "
                f"tower {tower.name!r} do not receive; choose mean='all' there"
            )

    def binding(self, place: Place, towers: Mapping[str, Tower], edit: Callable[..., Tensor]) -> Binding:
        """Edits h, reading x and, for a masked mean, the block's mask."""
        reads = (place.source,)
        if self.granularity == 'small' and self.mean == 'masked':
            reads += (towers[place.tower].blocks[place.depth].mask,)
        return Binding(place.tower, place.depth, reads, place.write, edit)


class GateLayer(nn.Module):
    """y = s · G ⊙ u at one branch.

    Args:
        width: D.
        options: The gate.
    """

    def __init__(self, width: int, options: GateOptions) -> None:
        super().__init__()
        self.scale = options.scale
        self.gate = options.build(width)

    def weigh(self, u: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Weighs ``u`` by the gate of it and ``x``, both (B, L, D); ``mask`` as in :class:`vlpeft.sites.Block`."""
        return self.product(self.gate(x, u, mask), u)

    def product(self, gate: Tensor, u: Tensor) -> Tensor:
        """s · G ⊙ u of ``u`` (B, L, D) and a gate that broadcasts to it."""
        return (gate if self.scale == 1 else self.scale * gate) * u
