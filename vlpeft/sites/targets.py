"""Targets: which sites of which towers a method acts on, declared in the config and checked."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from .schema import KINDS, LinearSite, SiteError, SubLayer, Tower

#: What the names of a plain FFN's maps choose in a gated one: those that lead into it, and the one that leads out.
IN_A_GATED_FFN = dict(fc1=('gate', 'up'), fc2=('down',))


def _chosen(asked: Sequence | None, there: Sequence, what: str, wanted_by: str) -> Sequence:
    if asked is None:
        return there
    unknown = [item for item in asked if item not in there]
    if unknown:
        raise SiteError(f'{wanted_by}: unknown {what} {unknown}; there are {list(there)}')
    return [item for item in there if item in asked]


def _spelled(asked: Sequence[str] | None, there: Collection[str]) -> Sequence[str] | None:
    """The roles that a tower has for the maps that are asked for."""
    if asked is None or 'gate' not in there:
        return asked
    return [role for name in asked for role in ([name] if name in there else IN_A_GATED_FFN.get(name, [name]))]


class Targets:
    """A selection of sites by tower, kind and depth, and for linear maps by their role.

    Args:
        towers: Names of towers. Defaults to None, all that are given.
        kinds: Of ``'self_attn'``, ``'cross_attn'``, ``'ffn'``. Defaults to None, all that a block has.
        depths: Block indices; negative ones count from the last. Defaults to None, all.
        linears: Of ``'q'``, ``'k'``, ``'v'``, ``'o'``, ``'fc1'``, ``'fc2'``, and of gated FFNs ``'gate'``, ``'up'``,
            ``'down'``; there ``'fc1'`` chooses gate and up, ``'fc2'`` down, so that both name maps of any FFN.
            Defaults to None, all of the chosen kinds.

    Raises:
        SiteError: An option is no list. When used on towers that lack a named tower, kind, depth or linear map; a
            selection that is empty is an error too, since a method must not silently adapt nothing.
    """

    def __init__(
        self,
        towers: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        depths: Sequence[int] | None = None,
        linears: Sequence[str] | None = None,
    ) -> None:
        for option, value in dict(towers=towers, kinds=kinds, depths=depths, linears=linears).items():
            # A text is a sequence, of its characters.
            if value is not None and (isinstance(value, (str, int)) or not isinstance(value, Collection)):
                raise SiteError(f'targets: {option}={value!r} is no list; write {option}=[{value!r}]')
        self.towers, self.kinds, self.depths, self.linear_names = towers, kinds, depths, linears

    def sublayers(self, towers: Mapping[str, Tower], wanted_by: str) -> Iterator[tuple[Tower, int, SubLayer]]:
        """Yields (tower, depth, sub-layer) in forward order."""
        _chosen(self.kinds, KINDS, 'kinds', wanted_by)
        chosen = [towers[name] for name in _chosen(self.towers, list(towers), 'towers', wanted_by)]
        present = {kind for tower in chosen for block in tower.blocks for kind in block.sublayers}
        kinds = _chosen(
            self.kinds,
            [kind for kind in KINDS if kind in present],
            f'kinds in tower {"/".join(tower.name for tower in chosen)}',
            wanted_by,
        )
        for tower in chosen:
            count = len(tower.blocks)
            # Negative ones that reach before the first are named as they were given.
            depths = self.depths and [d + count if -count <= d < 0 else d for d in self.depths]
            for depth in _chosen(depths, range(count), f'depths of tower "{tower.name}"', wanted_by):
                for kind in kinds:
                    if kind in tower.blocks[depth].sublayers:
                        yield tower, depth, tower.blocks[depth].sublayers[kind]

    def linears(
        self, towers: Mapping[str, Tower], wanted_by: str
    ) -> Iterator[tuple[Tower, int, SubLayer, str, LinearSite]]:
        """Yields (tower, depth, sub-layer, role, linear map) in forward order."""
        sublayers = list(self.sublayers(towers, wanted_by))
        present: dict[str, dict] = {}
        for tower, _, sublayer in sublayers:
            present.setdefault(tower.name, {}).update(dict.fromkeys(sublayer.linears))
        # Checked in each tower: one that lacks a map must not be left out in silence because another has it.
        roles = {
            name: _chosen(_spelled(self.linear_names, there), list(there), f'linears of tower "{name}"', wanted_by)
            for name, there in present.items()
        }
        for tower, depth, sublayer in sublayers:
            for role in roles[tower.name]:
                if role in sublayer.linears:
                    yield tower, depth, sublayer, role, sublayer.linears[role]
