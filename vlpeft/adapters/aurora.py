r"""Aurora: the changes of all maps are one tensor in factors that they share; only a vector belongs to a map alone.

    y ← y + V M U Dropout'(x)

U ∈ R^{r×in} and V ∈ R^{out×r} (zero at first) are shared by all maps of a width, in all depths and towers; p ∈ R^r is a
map's own.

    core='diagonal', the paper's:     M = diag(λ ⊙ p)          ΔW = Σ_i λ_i p_i v_i u_iᵀ,  a CP decomposition
    core='full', the release's:       M_ji = Σ_k C_ijk p_k     C ∈ R^{r×r×r} shared, a Tucker decomposition

Dropout' acts on the code U x. The query gate carries what a text knows past the cross-attention: to the stream after
the block's FFN it adds 0.1 (s ⊙ a + t) + 0.1 (s' ⊙ c + t') of the outputs a of the self-attention and c of the
cross-attention, in passes that reach the latter.

Wang et al., "Parameter-efficient Tuning of Large-scale Multimodal Foundation Model", NeurIPS 2023.
"""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, LinearSite, SiteError, Tower

from .base import WeightChange
from .bottleneck_layer import check_choice, check_rate, check_size
from .per_map import PerMapAdapter

CORES = ('diagonal', 'full')
#: Of the query gate, in the release.
GATE_SCALE = 0.1


class Core(nn.Module):
    """λ or C.

    Args:
        rank: r.
        kind: ``'diagonal'`` or ``'full'``.
    """

    def __init__(self, rank: int, kind: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(rank) if kind == 'diagonal' else torch.empty(rank, rank, rank))
        if kind == 'full':
            nn.init.xavier_uniform_(self.weight)

    def of(self, p: Tensor) -> Tensor:
        """M (r, r) of a map."""
        return torch.diag(self.weight * p) if self.weight.ndim == 1 else (self.weight @ p).T

    def forward(self, code: Tensor, p: Tensor) -> Tensor:
        """M u of codes u (…, r)."""
        return code * (self.weight * p) if self.weight.ndim == 1 else code @ (self.weight @ p)


class AuroraLinear(nn.Module):
    """The change of one linear map.

    Args:
        rank: r.
        down, core, up: U, the core, and V.
        dropout: Rate on the code.
    """

    def __init__(self, rank: int, down: nn.Linear, core: Core, up: nn.Linear, dropout: float) -> None:
        super().__init__()
        self.shared = (down, core, up)
        check_rate('dropout', dropout)
        self.dropout = nn.Dropout(dropout)
        self.p = nn.Parameter(torch.empty(rank))
        bound = math.sqrt(6 / (rank + 1))
        nn.init.uniform_(self.p, -bound, bound)

    def add(self, y: Tensor, x: Tensor) -> Tensor:
        """Adds the change to the map's output ``y`` (…, out) for its input ``x`` (…, in)."""
        down, core, up = self.shared
        return y + up(core(self.dropout(down(x)), self.p))

    def weight_change(self) -> Tensor:
        """ΔW (out, in)."""
        down, core, up = self.shared
        return up.weight @ core.of(self.p) @ down.weight


class QueryGate(nn.Module):
    """What one block carries past its cross-attention.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        for name in ('self_scale', 'self_shift', 'cross_scale', 'cross_shift'):
            self.register_parameter(name, nn.Parameter(torch.zeros(width)))

    def add(self, y: Tensor, a: Tensor, c: Tensor | None) -> Tensor:
        """FFN output ``y``, outputs of the self-attention ``a`` and of the cross-attention ``c``, all (B, L, D)."""
        if c is None:
            return y
        return y + GATE_SCALE * (self.self_scale * a + self.self_shift + self.cross_scale * c + self.cross_shift)


@ADAPTERS.register_module()
class Aurora(PerMapAdapter):
    """Aurora: factored changes of the linear maps at the chosen sites.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`; fused projections are adapted by their parts.
        rank: r. Defaults to 64.
        core: ``'diagonal'`` or ``'full'``. Defaults to ``'diagonal'``.
        dropout: Rate on the code. Defaults to 0.
        query_gate: Whether blocks that have a cross-attention have a query gate, wherever the targets are. Defaults to
            False.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist, or no block has a
            cross-attention for the query gate.
        ValueError: Unknown ``core``, or a rank that is none.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        rank: int = 64,
        core: str = 'diagonal',
        dropout: float = 0.0,
        query_gate: bool = False,
    ) -> None:
        super().__init__(towers, targets)
        check_size('rank', rank)
        check_choice('Aurora', 'core', core, CORES)
        self.core = Core(rank, core)
        self.downs, self.ups, self.gates = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for *_, site in self.maps(towers):
            if str(site.in_features) not in self.downs:
                self.downs[str(site.in_features)] = nn.Linear(site.in_features, rank, bias=False)
            if str(site.out_features) not in self.ups:
                self.ups[str(site.out_features)] = up = nn.Linear(rank, site.out_features, bias=False)
                nn.init.zeros_(up.weight)

        def unit_at(_: Tower, site: LinearSite) -> AuroraLinear:
            down, up = self.downs[str(site.in_features)], self.ups[str(site.out_features)]
            return AuroraLinear(rank, down, self.core, up, dropout)

        self.build_units(towers, unit_at)
        if query_gate:
            self.gates.update(
                {
                    f'{tower.name}_{block.depth}': QueryGate(tower.width)
                    for tower in towers.values()
                    for block in tower.blocks
                    if 'cross_attn' in block.sublayers
                }
            )
            if not self.gates:
                raise SiteError('Aurora with query_gate reads a cross-attention, but no block has one')

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        yield from super().bindings(towers)
        for key, gate in self.gates.items():
            name, _, depth = key.rpartition('_')
            parts = towers[name].blocks[int(depth)].sublayers
            write = parts['ffn'].branch('Aurora') if towers[name].records_blocks else parts['ffn'].y
            yield Binding(name, int(depth), (parts['self_attn'].y, parts['cross_attn'].y), write, gate.add)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        if self.gates:
            raise SiteError('Aurora with query_gate cannot be merged: what the gate adds skips the maps of the FFN')
        yield from super().weight_changes(towers)

    def role_of(self, name: str) -> str:
        return 'gate' if name.startswith('gates.') else 'adapter'
