"""Consistency of NLVR2 (Suhr et al., ACL 2019): statements judged right about each of their pairs of images."""

from collections.abc import Sequence


def nlvr2_group(identifier: str) -> str:
    """The statement that an item is about: the identifier without its third field, the pair of images.

    Args:
        identifier: ``{split}-{set of pairs}-{pair}-{statement}``, like 'dev-850-1-0'.

    Raises:
        ValueError: There are not four fields.
    """
    fields = identifier.split('-')
    if len(fields) != 4:
        raise ValueError(f"an NLVR2 identifier is like 'dev-850-1-0', got {identifier!r}")
    return '-'.join([*fields[:2], '', fields[3]])


def consistency(groups: Sequence[str], right: Sequence[bool]) -> float:
    """Share of the groups all of whose items are right.

    Args:
        groups: Group of each item.
        right: Whether the item is judged right, in the same order.

    Raises:
        ValueError: There is no item.
    """
    if not groups:
        raise ValueError('consistency needs at least one item')
    all_right: dict[str, bool] = {}
    for group, is_right in zip(groups, right, strict=True):
        all_right[group] = all_right.get(group, True) and bool(is_right)
    return sum(all_right.values()) / len(all_right)
