r"""SSF: the output of each operation is scaled and shifted.

    y ← γ ⊙ y + β,   γ ∈ R^D from N(1, 0.02), β ∈ R^D from N(0, 0.02)

The operations are linear maps, norms and, where it is named, the patch embedding.

Lian et al., "Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning", NeurIPS 2022.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, Targets, Tower

from .base import Adapter, WeightChange
from .bottleneck_layer import check_choice
from .operations import Operation, check_holds_changes, operations

INITS = ('normal', 'identity')


class ScaleShift(nn.Module):
    """Scale and shift of one output.

    Args:
        width: D.
        init: ``'normal'`` or ``'identity'``: γ = 1, β = 0.
    """

    def __init__(self, width: int, init: str) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))
        if init == 'normal':
            nn.init.normal_(self.scale, mean=1.0, std=0.02)
            nn.init.normal_(self.shift, std=0.02)

    def change(self, y: Tensor) -> Tensor:
        """γ ⊙ y + β, in y's format."""
        return torch.addcmul(self.shift, y, self.scale).to(y.dtype)


@ADAPTERS.register_module()
class SSF(Adapter):
    """Scales and shifts at the chosen sites.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`; the kind ``'patch_embed'`` is the output of the patch
            embedding.
        norms: Whether the norms in the same places are scaled and shifted too. Defaults to None: where the targets
            name no ``linears``.
        init: ``'normal'`` as released, or ``'identity'``, so that training starts at the base. Defaults to
            ``'normal'``.

    Raises:
        SiteError: The targets name a tower, kind, depth or linear map that does not exist.
        ValueError: Unknown ``init``.
    """

    def __init__(
        self, towers: Mapping[str, Tower], targets: dict, norms: bool | None = None, init: str = 'normal'
    ) -> None:
        super().__init__(towers)
        check_choice('SSF', 'init', init, INITS)
        self.targets, self.norms = Targets(**targets), norms
        self.layers = nn.ModuleDict({place.key: ScaleShift(place.features, init) for place in self._places(towers)})

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for place in self._places(towers):
            yield Binding(place.tower, place.depth, (), place.output, self.layers[place.key].change)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        for place in self._places(towers):
            check_holds_changes(place, 'SSF')
            layer = self.layers[place.key]
            yield WeightChange(place.tower, place.path, place.span, bias=layer.shift, scale=layer.scale)

    def _places(self, towers: Mapping[str, Tower]) -> Iterator[Operation]:
        return operations(self.targets, towers, 'SSF', self.norms)
