r"""DoRA: the rows of frozen weights keep a learned length apart from their direction, which LoRA changes.

    W' = m ⊙ (W + s · B A) / ‖W + s · B A‖,   m ∈ R^out,   m₀ = ‖W‖

norms of the rows of W (out, in), one for each output; s, A and B are LoRA's. At the output y = W x + b:

    y ← y + (g − 1) ⊙ (y − b) + g ⊙ s · B A Dropout(x),   g = m / ‖W + s · B A‖

The norm in g is taken as a constant in the backward pass (§4.3 of the paper).

Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", ICML 2024.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import LinearSite, Tower, bias_rows, weight_rows

from .base import WeightChange
from .lora import LoRA
from .lora_layer import LoRALinear


class DoRALinear(LoRALinear):
    """The change of one linear map, whose frozen weight it reads in every pass.

    Args:
        module: The map.
        site, rank, scale, dropout: As for :class:`LoRALinear`.

    Raises:
        SiteError: The map is quantised.
    """

    def __init__(self, module: nn.Module, site: LinearSite, rank: int, scale: float, dropout: float) -> None:
        super().__init__(site, rank, scale, dropout)
        # In a tuple: a module of the backbone is no part of the method's.
        self.frozen, self.span = (module,), site.span
        weight_rows(module, site.span)
        self.magnitude = nn.Parameter(torch.ones(site.out_features))

    @property
    def frozen_weight(self) -> Tensor:
        """W (out, in), in the method's number format."""
        return weight_rows(self.frozen[0], self.span).to(self.magnitude.dtype)

    @property
    def frozen_bias(self) -> Tensor | None:
        """b (out,); None where there is none."""
        return bias_rows(self.frozen[0], self.span)

    @torch.no_grad()
    def start(self) -> None:
        """m = ‖W‖."""
        self.magnitude.copy_(self.frozen_weight.norm(dim=1))

    def gain(self) -> Tensor:
        """g (out,)."""
        with torch.no_grad():
            norm = (self.frozen_weight + self.weight_change()).norm(dim=1)
        return self.magnitude / norm

    def add(self, y: Tensor, x: Tensor) -> Tensor:
        gain, bias = self.gain(), self.frozen_bias
        return y + (gain - 1) * (y if bias is None else y - bias) + gain * self.change(x)


@ADAPTERS.register_module()
class DoRA(LoRA):
    """DoRA: LoRA of directions, and learned lengths, of the linear maps at the chosen sites.

    Args:
        towers, targets, rank, alpha, dropout, scaling: As for :class:`LoRA`.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist, or a quantised one.
        ValueError: Unknown ``scaling``; a rank or α that is none.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        rank: int = 16,
        alpha: float | None = None,
        dropout: float = 0.0,
        scaling: str = 'standard',
    ) -> None:
        super().__init__(towers, targets, rank, alpha, dropout, scaling)

    def _unit(self, module: nn.Module, site: LinearSite, rank: int, scale: float, dropout: float) -> DoRALinear:
        return DoRALinear(module, site, rank, scale, dropout)

    def start_from(self, towers: Mapping[str, Tower]) -> None:
        for unit in self.layers.values():
            unit.start()

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        for key, tower, _, site in self.maps(towers):
            unit = self.layers[key]
            gain, bias = unit.gain(), unit.frozen_bias
            yield WeightChange.of(
                tower.name,
                site,
                scale=gain,
                weight=gain[:, None] * unit.weight_change(),
                bias=None if bias is None else (1 - gain) * bias,
            )
