"""What LoRA adds at one linear map. Equations: ``lora.py``."""

import math

import torch
from torch import Tensor, nn

from vlpeft.sites import LinearSite

from .bottleneck_layer import check_rate, check_size


def scale_of(rank: int, alpha: float | None, scaling: str) -> float:
    """s.

    Raises:
        ValueError: The rank is no size, or α no positive number.
    """
    check_size('rank', rank)
    if alpha is None:
        return 1.0
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < math.inf:
        raise ValueError(f'alpha={alpha!r}; it is a number above 0')
    return alpha / (math.sqrt(rank) if scaling == 'rslora' else rank)


class LoRALinear(nn.Module):
    """The change of one linear map.

    Args:
        site: The map.
        rank: r.
        scale: s.
        dropout: Rate on the input.
    """

    def __init__(self, site: LinearSite, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.scale = scale
        check_rate('dropout', dropout)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(site.in_features, rank, bias=False)
        self.up = nn.Linear(rank, site.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def change(self, x: Tensor) -> Tensor:
        """What a map's output (…, out) changes by for its input ``x`` (…, in)."""
        return self.scale * self.up(self.down(self.dropout(x)))

    def add(self, y: Tensor, x: Tensor) -> Tensor:
        """Adds the change to the map's output ``y`` (…, out) for its input ``x`` (…, in)."""
        return y + self.change(x)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Matrices (r, in) and (out, r) whose product, times s, is ΔW."""
        return self.down.weight, self.up.weight

    def weight_change(self) -> Tensor:
        """ΔW (out, in)."""
        down, up = self.factors()
        return self.scale * up @ down


class PissaLinear(LoRALinear):
    """The change of one linear map beside the frozen matrices that it started from, ``first_down`` and ``first_up``.

    Args:
        site, rank, scale, dropout: As for :class:`LoRALinear`.

    Raises:
        ValueError: The map has fewer singular values than the rank.
    """

    def __init__(self, site: LinearSite, rank: int, scale: float, dropout: float) -> None:
        super().__init__(site, rank, scale, dropout)
        if rank > min(site.in_features, site.out_features):
            raise ValueError(
                f"LoRA: rank={rank} with init='pissa'; {site.path} ({site.out_features} x {site.in_features}) has "
                f'{min(site.in_features, site.out_features)} singular values'
            )
        self.first_down = nn.Linear(site.in_features, rank, bias=False).requires_grad_(False)
        self.first_up = nn.Linear(rank, site.out_features, bias=False).requires_grad_(False)
        self._remember()

    @torch.no_grad()
    def _remember(self) -> None:
        """The change is zero from here on."""
        self.first_down.weight.copy_(self.down.weight)
        self.first_up.weight.copy_(self.up.weight)

    @torch.no_grad()
    def start(self, weight: Tensor) -> None:
        """Starts from the largest singular values of a map's weight (out, in)."""
        wide = torch.promote_types(weight.dtype, self.down.weight.dtype)
        u, values, v = torch.linalg.svd(weight.to(wide), full_matrices=False)
        rank = len(self.down.weight)
        root = (values[:rank] / self.scale).sqrt()
        for linear, value in ((self.down, root[:, None] * v[:rank]), (self.up, u[:, :rank] * root)):
            linear.weight.copy_(value)
        self._remember()

    def factors(self) -> tuple[Tensor, Tensor]:
        down, up = super().factors()
        return torch.cat([down, self.first_down.weight]), torch.cat([up, -self.first_up.weight], 1)

    def change(self, x: Tensor) -> Tensor:
        return super().change(x) - self.scale * self.first_up(self.first_down(x))
