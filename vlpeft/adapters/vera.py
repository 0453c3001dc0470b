r"""VeRA: random low-rank matrices that all maps share and nobody trains, scaled by learned vectors of each map.

    y ← y + Λ_b B Λ_d A Dropout(x),   Λ_b = diag(b), b ∈ R^out zero,   Λ_d = diag(d), d ∈ R^r

A ∈ R^{r×n} and B ∈ R^{m×r} are drawn once, kaiming-uniform, from a seed; n and m are the largest widths of the adapted
maps, and a narrower map takes the first columns of A and the first rows of B.

Kopiczko et al., "VeRA: Vector-based Random Matrix Adaptation", ICLR 2024.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlpeft.registry import ADAPTERS
from vlpeft.sites import LinearSite, Tower

from .bottleneck_layer import check_rate, check_size
from .per_map import PerMapAdapter


class Projection(nn.Module):
    """The frozen matrices A and B.

    Args:
        in_features, out_features: n and m.
        rank: r.
        seed: Of both.
        is_saved: Whether state dicts hold them.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, seed: int, is_saved: bool) -> None:
        super().__init__()
        generator = torch.Generator(device='cpu').manual_seed(seed)
        for name, shape in (('down', (rank, in_features)), ('up', (out_features, rank))):
            drawn = torch.empty(shape)
            if not drawn.is_meta:
                # The same numbers wherever the model is and in whatever format.
                bound = math.sqrt(6 / shape[1])
                numbers = torch.empty(shape, device='cpu', dtype=torch.float32)
                drawn.copy_(numbers.uniform_(-bound, bound, generator=generator))
            if is_saved:
                self.register_parameter(name, nn.Parameter(drawn, requires_grad=False))
            else:
                self.register_buffer(name, drawn, persistent=False)


class VeRALinear(nn.Module):
    """The change of one linear map.

    Args:
        site: The map.
        projection: The matrices that it shares with others.
        rank: r.
        d_init: First value of d.
        dropout: Rate on the input.
    """

    def __init__(self, site: LinearSite, projection: Projection, rank: int, d_init: float, dropout: float) -> None:
        super().__init__()
        # In a tuple: the matrices are a part of the method, not of each of its maps.
        self.shared, self.sizes = (projection,), (site.in_features, site.out_features)
        check_rate('dropout', dropout)
        self.dropout = nn.Dropout(dropout)
        self.b = nn.Parameter(torch.zeros(site.out_features))
        self.d = nn.Parameter(torch.full((rank,), float(d_init)))

    def matrices(self) -> tuple[Tensor, Tensor]:
        """A (r, in) and B (out, r) of this map."""
        width, out = self.sizes
        down, up = self.shared[0].down[:, :width], self.shared[0].up[:out]
        # In mixed precision of sharded runs parameters are cast, and tensors that no file holds are none.
        return down.to(self.d.dtype), up.to(self.d.dtype)

    def add(self, y: Tensor, x: Tensor) -> Tensor:
        """Adds the change to the map's output ``y`` (…, out) for its input ``x`` (…, in)."""
        down, up = self.matrices()
        return y + self.b * F.linear(self.d * F.linear(self.dropout(x), down), up)

    def weight_change(self) -> Tensor:
        """ΔW (out, in)."""
        down, up = self.matrices()
        return (self.b[:, None] * up) @ (self.d[:, None] * down)


@ADAPTERS.register_module()
class VeRA(PerMapAdapter):
    """VeRA: learned vectors around shared random matrices, at the linear maps of the chosen sites.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`; fused projections are adapted by their parts.
        rank: r. Defaults to 256.
        d_init: First value of all entries of d. Defaults to 0.1.
        dropout: Rate on the input. Defaults to 0.
        seed: Of A and B. Defaults to 0.
        save_projection: Whether files hold A and B; without them they are drawn anew from the seed, which gives the
            same numbers as long as torch draws them so. Defaults to True.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist.
        ValueError: A rank that is none, or ``d_init`` is zero, from where nothing would ever train.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        rank: int = 256,
        d_init: float = 0.1,
        dropout: float = 0.0,
        seed: int = 0,
        save_projection: bool = True,
    ) -> None:
        super().__init__(towers, targets)
        check_size('rank', rank)
        if d_init == 0:
            raise ValueError('VeRA: d_init=0; b starts at zero, so neither would ever get a gradient')
        sites = [site for *_, site in self.maps(towers)]
        self.projection = Projection(
            max(site.in_features for site in sites),
            max(site.out_features for site in sites),
            rank,
            seed,
            save_projection,
        )
        self.build_units(towers, lambda _, site: VeRALinear(site, self.projection, rank, d_init, dropout))

    def role_of(self, name: str) -> str:
        return 'frozen_projection' if name.startswith('projection.') else 'adapter'
