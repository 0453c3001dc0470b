"""Which modules belong to a branch of a block: those of its linear maps, and its norms."""

from typing import NamedTuple

from .schema import SiteError, SubLayer, Tap, Tower


class NormSite(NamedTuple):
    """A norm.

    Attributes:
        key: A name of it in its tower that holds no module path, such as ``0_self_attn_norm`` or ``norm`` outside of
            all blocks; further ones at a place are counted from 1.
        path: Below the tower's root.
        depth: Of its block; None outside of all blocks.
        kind: Of the branch that it belongs to; None if to none.
        output: Where what it computes passes.
        features: Width.
    """

    key: str
    path: str
    depth: int | None
    kind: str | None
    output: Tap
    features: int


def branch_modules(tower: Tower, depth: int, sub: SubLayer) -> list[str]:
    """Paths of the modules of a branch: the one that holds its linear maps alone, or these."""
    linears = [site.path for site in sub.linears.values()]
    common = linears[0].split('.')[:-1]
    while not all(path.startswith('.'.join([*common, ''])) for path in linears):
        common.pop()
    module, block = '.'.join(common), f'{tower.block_path}.{depth}'
    return [module] if len(module) > len(block) else linears


def norm_sites(tower: Tower, wanted_by: str) -> list[NormSite]:
    """All norms of a tower, in the order in which its family declares them.

    A norm belongs to the branch whose input it takes from the stream (pre-norm), whose output it leaves on the stream
    (post-norm) or as what is added to it, or in whose module it lies.

    Raises:
        SiteError: The family declares none, or one that has no gain; the message names the method.
    """
    found: list[NormSite] = []
    counts: dict[str, int] = {}
    for path in tower.declared_norms(wanted_by):
        depth = _depth(tower, path)
        kind, shape_of = (None, None) if depth is None else _branch_of(tower, depth, path)
        place = '_'.join(str(part) for part in (depth, kind, 'norm') if part is not None)
        index = counts.setdefault(place, 0)
        counts[place] += 1
        gain = getattr(tower.at(path), 'weight', None)
        if gain is None:
            raise SiteError(f'{wanted_by}: the norm {path} of tower "{tower.name}" has no gain')
        key = f'{place}{index}' if index else place
        found.append(NormSite(key, path, depth, kind, Tap(path, 'output', shape_of=shape_of), len(gain)))
    return found


def _depth(tower: Tower, path: str) -> int | None:
    inside = path.removeprefix(f'{tower.block_path}.')
    return None if inside == path else int(inside.partition('.')[0])


def _branch_of(tower: Tower, depth: int, path: str) -> tuple[str | None, str | None]:
    """Kind of the branch that a norm belongs to, and where its tensor gets its shape."""
    block = f'{tower.block_path}.{depth}'
    for kind, sub in tower.blocks[depth].sublayers.items():
        ends = ((sub.x, 'input'), (sub.h, 'output'), (sub.y, 'output'))
        stream = [tap for tap, side in ends if tap is not None and tap.side == side]
        exact = next((tap for tap in stream if tap.path == path), None)
        if exact is not None:
            return kind, exact.shape_of
        around = [tap.path for tap in stream if tap.path != block] + branch_modules(tower, depth, sub)
        if any(path.startswith(f'{module}.') for module in around):
            return kind, None
    return None, None
