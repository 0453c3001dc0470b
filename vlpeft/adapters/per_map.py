"""What the methods share that have a unit for each linear map, which adds something to its output."""

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from vlpeft.sites import Binding, LinearSite, Targets, Tower

from .base import Adapter, WeightChange
from .places import module_key


class PerMapAdapter(Adapter):
    """A method whose units have ``add(y, x)``, the output of a map for its input x, and ``weight_change()``, ΔW.

    Args:
        towers: The frozen backbones by name.
        targets: Arguments of :class:`vlpeft.sites.Targets`.

    Attributes:
        layers: The units by the names of their maps, such as ``text_0_self_attn_q``.
    """

    def __init__(self, towers: Mapping[str, Tower], targets: dict) -> None:
        super().__init__(towers)
        self.targets = Targets(**targets)
        self.layers = nn.ModuleDict()

    def build_units(self, towers: Mapping[str, Tower], unit_at: Callable[[Tower, LinearSite], nn.Module]) -> None:
        """Makes the unit of each map."""
        for key, tower, _, site in self.maps(towers):
            self.layers[key] = unit_at(tower, site)

    def maps(self, towers: Mapping[str, Tower]) -> Iterator[tuple[str, Tower, int | None, LinearSite]]:
        """Yields (name, tower, depth, map) in forward order."""
        for tower, depth, part, role, site in self.targets.linears(towers, type(self).__name__):
            yield module_key(tower, depth, part, role), tower, depth, site

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding]:
        for key, tower, depth, site in self.maps(towers):
            yield Binding(tower.name, depth, (site.input,), site.output, self.layers[key].add)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        for key, tower, _, site in self.maps(towers):
            yield WeightChange.of(tower.name, site, weight=self.layers[key].weight_change())
