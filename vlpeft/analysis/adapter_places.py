"""Where an edit is, in the words of a tower: depth, and kind and map of the sub-layer."""

from collections.abc import Mapping
from typing import NamedTuple

from vlpeft.sites import Binding, Tower


class Where(NamedTuple):
    """A place: the tower's name, the depth of the block (None outside of all), and what of it, such as
    ``self_attn q``.
    """

    tower: str
    depth: int | None
    part: str


class Places:
    """Finds places of towers.

    Args:
        towers: By name.
    """

    def __init__(self, towers: Mapping[str, Tower]) -> None:
        self.towers = towers
        self.maps: dict[tuple, tuple[int | None, str]] = {}
        self.taps: dict[tuple, tuple[int | None, str]] = {}
        for name, tower in towers.items():
            for block in tower.blocks:
                for kind, sublayer in block.sublayers.items():
                    self._add(name, block.depth, kind, sublayer.linears)
                    for tap in (sublayer.h, sublayer.y):
                        if tap is not None:
                            self.taps.setdefault((name, tap.path, tap.side), (block.depth, kind))
            for kind, part in tower.outside.items():
                self._add(name, None, kind, part.linears)
                self.taps.setdefault((name, part.h.path, part.h.side), (None, kind))

    def _add(self, tower: str, depth: int | None, kind: str, linears: Mapping) -> None:
        for role, site in linears.items():
            self.maps[tower, site.path, site.span] = depth, f'{kind} {role}'

    def of_map(self, tower: str, path: str, span: tuple[int, int] | None = None) -> Where:
        """A linear map or a norm."""
        found = self.maps.get((tower, path, span))
        if found is not None:
            return Where(tower, *found)
        block, _, rest = path.removeprefix(f'{self.towers[tower].block_path}.').partition('.')
        inside = path.startswith(f'{self.towers[tower].block_path}.') and block.isdigit()
        return Where(tower, int(block) if inside else None, rest if inside else path)

    def of_binding(self, binding: Binding, is_of_map: bool) -> Where:
        """What an edit replaces.

        Args:
            binding: The edit.
            is_of_map: Whether it is one of a linear map or a norm: the output of an attention's last map is that of the
                whole sub-layer too.
        """
        write = binding.write
        own, kind = self.taps.get((binding.tower, write.path, write.side), (None, None))
        reads_input = any(read.path == write.path and read.side == 'input' for read in binding.reads)
        if kind is not None and own == binding.depth and not is_of_map and not reads_input:
            return Where(binding.tower, own, kind)
        where = self.of_map(binding.tower, write.path, write.span)
        return Where(binding.tower, binding.depth, where.part or 'stream')
