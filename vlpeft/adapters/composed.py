"""Several methods at once."""

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from vlpeft.sites import Binding, CallBinding, SiteError, Tower

from .base import Adapter, WeightChange
from .options import build_method


def _is_inside(binding: Binding | CallBinding, tower: Tower) -> bool:
    """Whether it acts in a block, or on the tower's call."""
    return isinstance(binding, CallBinding) or binding.write.path.startswith(f'{tower.block_path}.')


class ComposedAdapter(Adapter):
    """Several methods on the same backbones, acting in the order of the list.

    Args:
        towers: The frozen backbones by name.
        configs: One config per method.

    Raises:
        SiteError: A method acts inside of a tower that another one cuts off from gradients.
    """

    def __init__(self, towers: Mapping[str, Tower], configs: Sequence[dict]) -> None:
        super().__init__(towers)
        self.parts = nn.ModuleList(build_method(config, towers) for config in configs)
        cut_by = {tower: part for part in self.parts for tower in part.cut_towers}
        self.cut_towers = tuple(cut_by)
        for part in self.parts if cut_by else ():
            for binding in part.bindings(towers):
                cutter = cut_by.get(binding.tower, part)
                if cutter is not part and _is_inside(binding, towers[binding.tower]):
                    raise SiteError(
                        f'{type(part).__name__} acts inside of tower "{binding.tower}", which {type(cutter).__name__} '
                        'cuts off from gradients; leave that tower to one of them'
                    )

    def start_from(self, towers: Mapping[str, Tower]) -> None:
        for part in self.parts:
            part.start_from(towers)

    def bindings(self, towers: Mapping[str, Tower]) -> Iterator[Binding | CallBinding]:
        for part in self.parts:
            yield from part.bindings(towers)

    def weight_changes(self, towers: Mapping[str, Tower]) -> Iterator[WeightChange]:
        for part in self.parts:
            yield from part.weight_changes(towers)

    def task_of(self, name: str) -> str | None:
        part, rest = self._part_of(name)
        return part.task_of(rest)

    def second_factors(self) -> Iterator[nn.Parameter]:
        for part in self.parts:
            yield from part.second_factors()

    def penalty(self) -> Tensor | None:
        found = [penalty for part in self.parts if (penalty := part.penalty()) is not None]
        return sum(found) if found else None

    def role_of(self, name: str) -> str:
        part, rest = self._part_of(name)
        return part.role_of(rest)

    def _part_of(self, name: str) -> tuple[Adapter, str]:
        _, index, rest = name.split('.', 2)
        return self.parts[int(index)], rest
