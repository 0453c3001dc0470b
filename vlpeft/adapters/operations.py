"""Where a method that scales or shifts the output of single operations acts: linear maps, norms, patch embeddings."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vlpeft.sites import SiteError, Tap, Targets, Tower

from .places import module_key

PATCH_EMBED = 'patch_embed'


class Operation(NamedTuple):
    """One operation.

    Attributes:
        key: Name of the module that acts there, such as ``encoder_0_self_attn_q`` or ``encoder_0_ffn_norm``.
        tower, depth: The block; depth None outside of all blocks.
        path: Of its module below the tower's root.
        span: Rows of a fused map. None for all.
        output: Where what it computes passes.
        features: Width of its output.
        holds_changes: Whether its weight and bias could hold a scale and a shift of the output. A patch embedding is no
            linear map of tokens.
    """

    key: str
    tower: str
    depth: int | None
    path: str
    span: tuple[int, int] | None
    output: Tap
    features: int
    holds_changes: bool = True


def norms(targets: Targets, towers: Mapping[str, Tower], wanted_by: str) -> Iterator[Operation]:
    """Yields the chosen norms, in the order in which families declare them.

    Raises:
        SiteError: The targets name what does not exist, or linear maps.
    """
    for tower, norm in targets.norms(towers, wanted_by):
        key = f'{tower.name}_{norm.key}'
        yield Operation(key, tower.name, norm.depth, norm.path, None, norm.output, norm.features)


def operations(
    targets: Targets, towers: Mapping[str, Tower], wanted_by: str, with_norms: bool | None
) -> Iterator[Operation]:
    """Yields the chosen linear maps, then the norms of the same places, then the patch embeddings that are named.

    Args:
        targets: What is chosen.
        towers: By name.
        wanted_by: The method, for messages.
        with_norms: Whether norms are among them. None: where the targets name no linear maps.

    Raises:
        SiteError: The targets name what does not exist, or maps or norms of a patch embedding, which is taken whole.
    """
    kinds = None if targets.kinds is None else [kind for kind in targets.kinds if kind != PATCH_EMBED]
    inner = Targets(targets.towers, kinds, targets.depths, targets.linear_names)
    if kinds == [] and (targets.linear_names is not None or targets.depths is not None or with_norms):
        raise SiteError(
            f'{wanted_by}: the targets choose the patch embedding alone, which is taken whole; leave linears, depths '
            'and norms out, or name kinds of blocks too'
        )
    if kinds != []:
        for tower, depth, part, role, site in inner.linears(towers, wanted_by):
            key = module_key(tower, depth, part, role)
            yield Operation(key, tower.name, depth, site.path, site.span, site.output, site.out_features)
        if with_norms or (with_norms is None and targets.linear_names is None):
            yield from norms(Targets(targets.towers, kinds, targets.depths), towers, wanted_by)
    if kinds != (None if targets.kinds is None else list(targets.kinds)):
        for tower, _, part in Targets(targets.towers, [PATCH_EMBED]).parts(towers, wanted_by):
            key = module_key(tower, None, part)
            yield Operation(key, tower.name, None, part.h.path, None, part.h, part.out_features, holds_changes=False)


def check_holds_changes(place: Operation, wanted_by: str) -> None:
    """Refuses to merge where the operation's weights are none of a linear map or a norm.

    Raises:
        SiteError: They are not.
    """
    if not place.holds_changes:
        raise SiteError(
            f'{wanted_by} cannot be merged where it acts on a patch embedding ({place.path} of tower "{place.tower}"), '
            'which is no linear map of tokens'
        )
