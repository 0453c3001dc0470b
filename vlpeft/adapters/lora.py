r"""LoRA: a low-rank change of frozen linear maps.

    y ← y + (α / r) · B A Dropout(x),   A ∈ R^{r×in} kaiming-uniform, B ∈ R^{out×r} zero

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
"""

import math
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, LinearSite, Targets, Tower

from .base import Adapter, WeightChange
from .bottleneck_layer import check_size
from .places import module_key


class LoRALinear(nn.Module):
    """The change of one linear map.

    Args:
        site: The map.
        rank: r.
        alpha: α.
        dropout: Rate on the input.
    """

    def __init__(self, site: LinearSite, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        check_size('rank', rank)
        self.scale = alpha / rank
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(site.in_features, rank, bias=False)
        self.up = nn.Linear(rank, site.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def add(self, y: Tensor, x: Tensor) -> Tensor:
        """Adds the change to the map's output ``y`` (…, out) for its input ``x`` (…, in)."""
        return y + self.scale * self.up(self.down(self.dropout(x)))


@ADAPTERS.register_module()
class LoRA(Adapter):
    """LoRA: low-rank changes of the linear maps at the chosen sites.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`; fused projections are adapted by their parts.
        rank: r. Defaults to 16.
        alpha: α. Defaults to None, which means r (scale 1).
        dropout: Rate on the input. Defaults to 0.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        rank: int = 16,
        alpha: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(towers)
        self.targets = Targets(**targets)
        self.layers = nn.ModuleDict()
        for tower, depth, sublayer, role, site in self.targets.linears(towers, 'LoRA'):
            key = module_key(tower, depth, sublayer, role)
            self.layers[key] = LoRALinear(site, rank, rank if alpha is None else alpha, dropout)

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for tower, depth, site, unit in self._units(towers):
            yield Binding(tower.name, depth, (site.input,), site.output, unit.add)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        for tower, _, site, unit in self._units(towers):
            yield WeightChange.of(tower.name, site, weight=unit.scale * unit.up.weight @ unit.down.weight)

    def _units(self, towers: Mapping[str, Tower]) -> Iterator[tuple[Tower, int | None, LinearSite, LoRALinear]]:
        for tower, depth, sublayer, role, site in self.targets.linears(towers, 'LoRA'):
            yield tower, depth, site, self.layers[module_key(tower, depth, sublayer, role)]
