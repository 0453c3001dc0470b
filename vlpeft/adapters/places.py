"""Where a method that turns one tensor into a change of another acts: at whole sub-layers, at the parts of a tower
outside of its blocks, or at linear maps.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from vlpeft.sites import OuterPart, SiteError, SubLayer, Tap, Targets, Tower


class Place(NamedTuple):
    """One place.

    Attributes:
        key: Name of the module that acts there, such as ``encoder_0_self_attn`` or ``decoder_0_cross_attn_v``.
        tower, depth: The block; depth None outside of all blocks.
        source: The tensor that enters: a sub-layer's x, a linear map's input; None where it is no tokens.
        write: The tensor that leaves and is edited: a sub-layer's h, a linear map's output.
        in_features, out_features: Their widths.
        stream: A sub-layer's y; other places have none. Defaults to None.
    """

    key: str
    tower: str
    depth: int | None
    source: Tap | None
    write: Tap
    in_features: int | None
    out_features: int
    stream: Tap | None = None


def module_key(tower: Tower, depth: int | None, part: SubLayer | OuterPart, role: str | None = None) -> str:
    """Name of the module that acts at a sub-layer, such as ``encoder_0_self_attn``, or outside of all blocks, as
    ``vision_connector``; or at its linear map of a role, as ``decoder_0_cross_attn_v``. Checkpoints hold it.
    """
    names = (tower.name, depth, part.kind, role)
    return '_'.join(str(name) for name in names if name is not None)


def branches(targets: Mapping, towers: Mapping[str, Tower], wanted_by: str) -> Iterator[Place]:
    """Yields the chosen sub-layers in forward order.

    Args:
        targets: Arguments of :class:`vlpeft.sites.Targets` but ``linears``.
        towers: By name.
        wanted_by: The method, for messages.

    Raises:
        SiteError: The targets name what does not exist, linear maps, or a sub-layer whose h passes no module.
    """
    if targets.get('linears') is not None:
        raise SiteError(f'{wanted_by} acts on whole sub-layers, but its targets name linears {targets["linears"]}')
    for tower, depth, sublayer in Targets(**targets).sublayers(towers, wanted_by):
        yield _branch(tower, depth, sublayer, wanted_by)


def places(
    targets: Mapping, towers: Mapping[str, Tower], wanted_by: str, reads_source: bool = False
) -> Iterator[Place]:
    """Yields the chosen linear maps if the targets name ``linears``, else the chosen sub-layers and parts outside of
    all blocks.

    Args:
        targets: Arguments of :class:`vlpeft.sites.Targets`.
        towers: By name.
        wanted_by: The method, for messages.
        reads_source: Whether it needs the tensor that enters. Defaults to False.

    Raises:
        SiteError: The targets name what does not exist, a sub-layer whose h passes no module, or a place that no tokens
            enter where the method reads them.
    """
    if targets.get('linears') is None:
        for tower, depth, part in Targets(**targets).parts(towers, wanted_by):
            yield _whole(tower, depth, part, wanted_by, reads_source)
        return
    for tower, depth, sublayer, role, site in Targets(**targets).linears(towers, wanted_by):
        yield Place(
            module_key(tower, depth, sublayer, role),
            tower.name,
            depth,
            site.input,
            site.output,
            site.in_features,
            site.out_features,
        )


def _branch(tower: Tower, depth: int, sublayer: SubLayer, wanted_by: str) -> Place:
    key, h = module_key(tower, depth, sublayer), sublayer.branch(wanted_by)
    return Place(key, tower.name, depth, sublayer.x, h, tower.width, tower.width, sublayer.y)


def _whole(tower: Tower, depth: int | None, part: SubLayer | OuterPart, wanted_by: str, reads_source: bool) -> Place:
    if isinstance(part, SubLayer):
        return _branch(tower, depth, part, wanted_by)
    if reads_source and part.x is None:
        raise SiteError(
            f'{wanted_by} reads the tokens that enter, but what enters the {part.kind} of tower "{tower.name}" are no '
            'tokens; choose a form that reads its output only'
        )
    return Place(module_key(tower, None, part), tower.name, None, part.x, part.h, part.in_features, part.out_features)


def whole_towers(
    targets: Mapping, towers: Mapping[str, Tower], wanted_by: str, lack: Callable[[Tower], str | None]
) -> list[Tower]:
    """The towers that targets name; all that lack nothing where they name none.

    Args:
        targets: Arguments of :class:`vlpeft.sites.Targets`, of which only ``towers`` are meant here.
        towers: By name.
        wanted_by: The method, for messages.
        lack: Why it cannot act on a tower, None where it can.

    Raises:
        SiteError: The targets name what does not exist, more than towers, or a tower that lacks something; or all do.
    """
    for option, value in targets.items():
        if option != 'towers' and value is not None:
            raise SiteError(f'{wanted_by} acts on whole towers, but its targets name {option} {value}')
    chosen = Targets(**targets).of(towers, wanted_by)
    lacks = {tower.name: lack(tower) for tower in chosen}
    able = [tower for tower in chosen if lacks[tower.name] is None]
    if not able or (targets.get('towers') is not None and len(able) < len(chosen)):
        reasons = [f'tower "{name}" {reason}' for name, reason in lacks.items() if reason is not None]
        raise SiteError(f'{wanted_by}: {"; ".join(reasons)}')
    return able
