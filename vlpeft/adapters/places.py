"""Where a method that turns one tensor into a change of another acts: at whole sub-layers or at linear maps."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vlpeft.sites import SiteError, SubLayer, Tap, Targets, Tower


class Place(NamedTuple):
    """One place.

    Attributes:
        key: Name of the module that acts there, such as ``encoder_0_self_attn`` or ``decoder_0_cross_attn_v``.
        tower, depth: The block.
        source: The tensor that enters: a sub-layer's x, a linear map's input.
        write: The tensor that leaves and is edited: a sub-layer's h, a linear map's output.
        in_features, out_features: Their widths.
        stream: A sub-layer's y; a linear map has none. Defaults to None.
    """

    key: str
    tower: str
    depth: int
    source: Tap
    write: Tap
    in_features: int
    out_features: int
    stream: Tap | None = None


def module_key(tower: Tower, depth: int, sublayer: SubLayer, role: str | None = None) -> str:
    """Name of the module that acts at a sub-layer, such as ``encoder_0_self_attn``, or at its linear map of a role, as
    ``decoder_0_cross_attn_v``. Checkpoints hold it.
    """
    place = f'{tower.name}_{depth}_{sublayer.kind}'
    return place if role is None else f'{place}_{role}'


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
        yield Place(
            module_key(tower, depth, sublayer),
            tower.name,
            depth,
            sublayer.x,
            sublayer.branch(wanted_by),
            tower.width,
            tower.width,
            sublayer.y,
        )


def places(targets: Mapping, towers: Mapping[str, Tower], wanted_by: str) -> Iterator[Place]:
    """Yields the chosen linear maps if the targets name ``linears``, else the chosen sub-layers.

    Arguments and errors as in :func:`branches`.
    """
    if targets.get('linears') is None:
        yield from branches(targets, towers, wanted_by)
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
