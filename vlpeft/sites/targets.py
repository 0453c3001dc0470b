"""Targets: which sites of which towers a method acts on, declared in the config and checked."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from .branches import NormSite, norm_sites
from .schema import KINDS, OUTSIDE, LinearSite, OuterPart, SiteError, SubLayer, Tower

#: What the names of a plain FFN's maps choose in a gated one: those that lead into it, and the one that leads out.
IN_A_GATED_FFN = dict(fc1=('gate', 'up'), fc2=('down',))

_KINDS = {int: 'integer', str: 'text'}


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
    spelled = []
    for name in asked:
        gated = IN_A_GATED_FFN.get(name, ())
        # A connector beside the gated FFNs may have maps of that name.
        spelled += [*([name] if name in there or not gated else []), *gated]
    return spelled


class Targets:
    """A selection of sites by tower, kind and depth, and for linear maps by their role.

    Args:
        towers: Names of towers. Defaults to None, all that are given.
        kinds: Of ``'self_attn'``, ``'cross_attn'``, ``'ffn'``, and outside of all blocks ``'patch_embed'`` and
            ``'connector'``, which are chosen by name only. Defaults to None, all that a block has.
        depths: Block indices; negative ones count from the last. Defaults to None, all.
        linears: Of ``'q'``, ``'k'``, ``'v'``, ``'o'``, ``'fc1'``, ``'fc2'``, and of gated FFNs ``'gate'``, ``'up'``,
            ``'down'``; there ``'fc1'`` chooses gate and up, ``'fc2'`` down, so that both name maps of any FFN. Of a
            connector or patch embedding ``'proj'``, or ``'fc1'``, ``'fc2'`` where it has two. Defaults to None, all of
            the chosen kinds.

    Raises:
        SiteError: An option is no list, or of items of another type. When used on towers that lack a named tower, kind,
            depth or linear map; a selection that is empty, or of which a named kind is left empty, is an error too,
            since a method must not silently adapt nothing.
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
            kind = int if option == 'depths' else str
            if wrong := [item for item in value or () if not isinstance(item, kind) or isinstance(item, bool)]:
                raise SiteError(f'targets: {option} holds {wrong[0]!r}, which is no {_KINDS[kind]}')
        self.towers, self.kinds, self.depths, self.linear_names = towers, kinds, depths, linears

    def of(self, towers: Mapping[str, Tower], wanted_by: str) -> list[Tower]:
        """The chosen towers."""
        return [towers[name] for name in _chosen(self.towers, list(towers), 'towers', wanted_by)]

    def sublayers(self, towers: Mapping[str, Tower], wanted_by: str) -> Iterator[tuple[Tower, int, SubLayer]]:
        """Yields (tower, depth, sub-layer) in forward order.

        Raises:
            SiteError: As of the class; or the kinds name a part outside of all blocks.
        """
        if outside := [kind for kind in self.kinds or () if kind in OUTSIDE]:
            raise SiteError(
                f'{wanted_by} acts on the sub-layers of blocks, but its targets name kinds {outside}, outside of all '
                f'blocks; choose from {list(KINDS)}'
            )
        yield from self.parts(towers, wanted_by)

    def parts(
        self, towers: Mapping[str, Tower], wanted_by: str
    ) -> Iterator[tuple[Tower, int | None, SubLayer | OuterPart]]:
        """Yields (tower, depth, part) in forward order: sub-layers, and those outside of all blocks with depth None."""
        _chosen(self.kinds, (*KINDS, *OUTSIDE), 'kinds', wanted_by)
        chosen = self.of(towers, wanted_by)
        present = {kind for tower in chosen for block in tower.blocks for kind in block.sublayers}
        present.update(kind for tower in chosen for kind in tower.outside)
        kinds = _chosen(
            self.kinds,
            [kind for kind in (*KINDS, *OUTSIDE) if kind in present],
            f'kinds in tower {"/".join(tower.name for tower in chosen)}',
            wanted_by,
        )
        if self.kinds is None:
            kinds = [kind for kind in kinds if kind in KINDS]
        elif self.depths is not None and kinds and not set(kinds) & set(KINDS):
            raise SiteError(f'{wanted_by}: depths={self.depths} choose blocks, but kinds {kinds} are outside of them')
        for tower in chosen:
            outside = {kind: part for kind, part in tower.outside.items() if kind in kinds}
            if 'patch_embed' in outside:
                yield tower, None, outside['patch_embed']
            count = len(tower.blocks)
            # Negative ones that reach before the first are named as they were given.
            depths = self.depths and [d + count if -count <= d < 0 else d for d in self.depths]
            what = f'depths of tower "{tower.name}"' + (f' ({tower.idle})' if tower.idle else '')
            for depth in _chosen(depths, range(count), what, wanted_by):
                for kind in kinds:
                    if kind in tower.blocks[depth].sublayers:
                        yield tower, depth, tower.blocks[depth].sublayers[kind]
            if 'connector' in outside:
                yield tower, None, outside['connector']

    def linears(
        self, towers: Mapping[str, Tower], wanted_by: str
    ) -> Iterator[tuple[Tower, int | None, SubLayer | OuterPart, str, LinearSite]]:
        """Yields (tower, depth, part, role, linear map) in forward order, parts as of :meth:`parts`."""
        parts = list(self.parts(towers, wanted_by))
        present: dict[str, dict] = {}
        for tower, _, part in parts:
            present.setdefault(tower.name, {}).update(dict.fromkeys(part.linears))
            if not part.linears:
                _refuse_without_maps(tower, part, wanted_by)
        # Checked in each tower: one that lacks a map must not be left out in silence because another has it.
        roles = {
            name: _chosen(_spelled(self.linear_names, there), list(there), f'linears of tower "{name}"', wanted_by)
            for name, there in present.items()
        }
        for tower, _, part in parts if self.kinds is not None else ():
            if not any(role in part.linears for role in roles[tower.name]):
                raise SiteError(
                    f'{wanted_by}: linears {list(self.linear_names)} choose none of kind {part.kind!r} in tower '
                    f'"{tower.name}", which has {list(part.linears)}'
                )
        for tower, depth, part in parts:
            for role in roles[tower.name]:
                if role in part.linears:
                    yield tower, depth, part, role, part.linears[role]

    def norms(self, towers: Mapping[str, Tower], wanted_by: str) -> Iterator[tuple[Tower, NormSite]]:
        """Yields (tower, norm): all of the chosen towers, with ``depths`` those of these blocks, with ``kinds`` those
        of these branches.

        Raises:
            SiteError: As of the class; the targets name linear maps, or a tower declares no norms.
        """
        if self.linear_names is not None:
            raise SiteError(
                f'{wanted_by} acts on norms, but its targets name linears {list(self.linear_names)}; leave them out'
            )
        chosen = [(tower.name, depth, part.kind) for tower, depth, part in self.parts(towers, wanted_by)]
        blocks = {(name, depth) for name, depth, _ in chosen}
        for name in dict.fromkeys(name for name, _, _ in chosen):
            for norm in norm_sites(towers[name], wanted_by):
                if self.kinds is not None:
                    is_chosen = (name, norm.depth, norm.kind) in chosen
                else:
                    is_chosen = self.depths is None or (name, norm.depth) in blocks
                if is_chosen:
                    yield towers[name], norm


def _refuse_without_maps(tower: Tower, part: SubLayer | OuterPart, wanted_by: str) -> None:
    if isinstance(part, OuterPart):
        found = type(tower.at(part.h.path)).__name__
        raise SiteError(
            f'{wanted_by} acts on linear maps, but the {part.kind} of tower "{tower.name}" is none ({found} at '
            f'{part.h.path}); a method that changes its output can act there, such as Bottleneck'
        )
