r"""VL-PET's gate as a method of its own, after any other that changes a branch's output.

    h ← s · G(x, h) ⊙ h

h is the sub-layer's output as the methods before this one left it, x its input on the residual stream; G: ``gates.py``.
Transfer of the gate to other adapters: Hu et al., "VL-PET", ICCV 2023, section on applying VL-PET to existing methods.
"""

from collections.abc import Iterator, Mapping

from torch import nn

from vlpeft.registry import ADAPTERS
from vlpeft.sites import Binding, Tower

from .base import Adapter
from .gates import GateLayer, GateOptions


@ADAPTERS.register_module()
class Gate(Adapter):
    """A gate at the output of the chosen sub-layers; in a list of methods it comes after those that it weighs.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets` but ``linears``.
        granularity: ``'large'``, ``'middle_x'``, ``'middle_y'`` or ``'small'``. Defaults to ``'large'``.
        bottleneck: r_g of large. Defaults to 96.
        scale: s. Defaults to 1.
        init: ``'normal'`` or ``'zero_up'``, as for :class:`VLPET`. Defaults to ``'normal'``.
        middle_y: ``'1+z'`` or ``'1+sigmoid(z)'``. Defaults to ``'1+z'``.
        mean: Mean of small, over ``'all'`` tokens or over the real ones (``'masked'``). Defaults to ``'all'``.

    Raises:
        SiteError: The targets name a tower, kind or depth that does not exist, the mean of small would mix tokens of a
            causal or packed tower, or a masked mean finds no mask.
        ValueError: Unknown ``granularity``, ``init``, ``middle_y`` or ``mean``.
    """

    def __init__(
        self,
        towers: Mapping[str, Tower],
        targets: dict,
        granularity: str = 'large',
        bottleneck: int = 96,
        scale: float = 1.0,
        init: str = 'normal',
        middle_y: str = '1+z',
        mean: str = 'all',
    ) -> None:
        super().__init__(towers)
        self.targets = targets
        self.options = GateOptions('Gate', granularity, bottleneck, scale, init, middle_y, mean)
        self.layers = nn.ModuleDict(
            {place.key: GateLayer(place.out_features, self.options) for place in self.options.places(targets, towers)}
        )

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for place in self.options.places(self.targets, towers):
            yield self.options.binding(place, towers, self.layers[place.key].weigh)

    def role_of(self, name: str) -> str:
        return 'gate'
