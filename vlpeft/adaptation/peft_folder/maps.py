"""The linear maps of a model by the name that peft gives them, and the targets that choose a set of their parts."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

from vlpeft.sites import OUTSIDE, LinearSite, SiteError, Targets, Tower, below


class Part(NamedTuple):
    """One of our sites: a whole linear map, or the rows ``site.span`` of a fused one."""

    tower: str
    depth: int | None
    kind: str
    role: str
    site: LinearSite


def parts_by_map(towers: Mapping[str, Tower], paths: Mapping[str, str]) -> dict[str, list[Part]]:
    """All sites that are linear maps, by the name of their module in the model.

    A module that several towers publish is listed once: a change of it acts wherever it is called.
    """
    found: dict[str, dict] = {}
    for tower, depth, sublayer, role, site in _all_linears(towers):
        part = Part(tower.name, depth, sublayer.kind, role, site)
        found.setdefault(below(paths[tower.name], site.path), {}).setdefault(site.span, part)
    return {name: list(parts.values()) for name, parts in found.items()}


def _all_linears(towers: Mapping[str, Tower]) -> Iterator[tuple]:
    """What ``Targets`` yields of all linear maps, those outside of blocks among them."""
    yield from Targets().linears(towers, 'LoRA')
    for name, tower in towers.items():
        if kinds := [kind for kind in OUTSIDE if kind in tower.outside and tower.outside[kind].linears]:
            yield from Targets(towers=[name], kinds=kinds).linears(towers, 'LoRA')


def site_list(towers: Mapping[str, Tower], paths: Mapping[str, str]) -> str:
    """The linear maps that are sites, for messages: one name for all depths of a tower."""
    names = {}
    for tower, depth, _, _, site in _all_linears(towers):
        blocks = f'{tower.block_path}.{depth}.'
        names[below(paths[tower.name], site.path.replace(blocks, f'{tower.block_path}.*.', 1))] = None
    return ', '.join(names)


def targets_of(parts: Iterable[Part], towers: Mapping[str, Tower]) -> list[dict]:
    """Arguments of :class:`vlpeft.sites.Targets` that together choose exactly these sites, each of them once.

    One selection is a product of towers, kinds, depths and roles. The smallest ones are put together as long as two of
    them choose the same sites as one.

    Args:
        parts: At least one.
        towers: By name.
    """
    depths: dict[tuple[str, str, str], set[int | None]] = {}
    # In one order, so that what is put together first, maps of one branch, does not depend on that of a file.
    for part in sorted(parts, key=lambda part: (part.tower, part.kind, part.role)):
        depths.setdefault((part.tower, part.kind, part.role), set()).add(part.depth)
    boxes = [
        _smallest(_Box({t}, {k}, None if None in d else frozenset(d), {r}), towers) for (t, k, r), d in depths.items()
    ]
    while (pair := _joined(boxes, towers)) is not None:
        first, second, both = pair
        boxes = [both, *(box for box in boxes if box is not first and box is not second)]
    return [box.arguments(towers) for box, _ in boxes]


class _Box(NamedTuple):
    towers: set[str]
    kinds: set[str]
    depths: frozenset[int] | None
    roles: set[str]

    def arguments(self, towers: Mapping[str, Tower]) -> dict:
        """Of ``Targets``, in the order in which the towers have them."""
        chosen = [name for name in towers if name in self.towers]
        parts = [sub for name in chosen for block in towers[name].blocks for sub in block.sublayers.values()]
        parts += [part for name in chosen for part in towers[name].outside.values()]
        kinds = dict.fromkeys(part.kind for part in parts if part.kind in self.kinds)
        roles = dict.fromkeys(role for part in parts for role in part.linears if role in self.roles)
        depths = {} if self.depths is None else dict(depths=sorted(self.depths))
        return dict(towers=chosen, kinds=list(kinds), **depths, linears=list(roles))

    def sites(self, towers: Mapping[str, Tower]) -> set[tuple] | None:
        """What it chooses; None where ``Targets`` refuses it."""
        try:
            found = list(Targets(**self.arguments(towers)).linears(towers, 'LoRA'))
        except SiteError:
            return None
        return {(tower.name, depth, sublayer.kind, role) for tower, depth, sublayer, role, _ in found}


_Sites = set[tuple]


def _smallest(box: _Box, towers: Mapping[str, Tower]) -> tuple[_Box, _Sites]:
    """A box and its sites; all depths are left unnamed."""
    everywhere, sites = box._replace(depths=None), box.sites(towers)
    return (everywhere if everywhere.sites(towers) == sites else box), sites


def _joined(boxes: list[tuple[_Box, _Sites]], towers: Mapping[str, Tower]) -> tuple | None:
    """Two boxes that one can stand for, and that one; each with its sites."""
    for first, second in combinations(boxes, 2):
        (a, of_a), (b, of_b) = first, second
        if (a.depths is None) != (b.depths is None):
            continue
        depths = None if a.depths is None else a.depths | b.depths
        both = _Box(a.towers | b.towers, a.kinds | b.kinds, depths, a.roles | b.roles)
        if both.sites(towers) == of_a | of_b:
            return first, second, (both, of_a | of_b)
    return None
