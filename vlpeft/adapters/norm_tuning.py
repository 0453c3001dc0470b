r"""Norm tuning: gains and biases of the norms are tuned, nothing else.

    y ← y ⊙ (1 + s) + t,   s, t ∈ R^D zero,   y = g ⊙ n(x) + b

n normalises (LayerNorm or RMSNorm); t only where the norm has a bias b. The result is that of a norm with the gain
g ⊙ (1 + s) and the bias b ⊙ (1 + s) + t. s is the change of the gain relative to its size, so that with

    ∂ℓ/∂s = g ⊙ ∂ℓ/∂g + b ⊙ ∂ℓ/∂b        and        ∂ℓ/∂t = ∂ℓ/∂b

a step of η in s moves a gain by g η. Where g is zero it stays so.

Qi et al., "Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language Models", 2022; Zhao et al.,
"Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning", ICLR 2024.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, Targets, Tower, has_bias

from .base import Adapter, WeightChange
from .operations import Operation, norms


class NormChange(nn.Module):
    """The change of one norm.

    Args:
        width: D.
        shifts: Whether it has t.
    """

    def __init__(self, width: int, shifts: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))
        self.shift = nn.Parameter(torch.zeros(width)) if shifts else None

    def change(self, y: Tensor) -> Tensor:
        """y ⊙ (1 + s) + t, in y's format."""
        changed = y + y * self.scale
        return (changed if self.shift is None else changed + self.shift).to(y.dtype)


@ADAPTERS.register_module()
class NormTuning(Adapter):
    """Changes of the gains and biases of norms.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets` but ``linears``: with ``kinds`` the norms of these branches,
            with ``depths`` those of these blocks, else all of the towers, those outside of the blocks among them.

    Raises:
        SiteError: The targets name a tower, kind or depth that does not exist, linear maps, or no norm.
    """

    def __init__(self, towers: Mapping[str, Tower], targets: dict) -> None:
        super().__init__(towers)
        self.targets = Targets(**targets)
        self.layers = nn.ModuleDict()
        for place in self._places(towers):
            self.layers[place.key] = NormChange(place.features, has_bias(towers[place.tower].at(place.path)))

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for place in self._places(towers):
            yield Binding(place.tower, place.depth, (), place.output, self.layers[place.key].change)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        for place in self._places(towers):
            layer = self.layers[place.key]
            yield WeightChange(place.tower, place.path, scale=1 + layer.scale, bias=layer.shift)

    def role_of(self, name: str) -> str:
        return 'layer_norm'

    def _places(self, towers: Mapping[str, Tower]) -> Iterator[Operation]:
        return norms(self.targets, towers, 'NormTuning')
