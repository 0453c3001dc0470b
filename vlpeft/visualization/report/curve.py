"""Recall by the length of the list, drawn as SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from math import exp, lgamma, log

WIDTH, HEIGHT = 420, 290
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 14, 44
#: Lengths that the curve is computed at.
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100)


def lengths(gallery: int) -> list[int]:
    """Lengths of lists, from 1 to the whole gallery, at about even distances on a logarithmic scale."""
    decades = [factor * 100**power for power in range(4) for factor in STEPS]
    return sorted({k for k in decades if k < gallery} | {1, gallery})


def chance(k: int, gallery: int, rights: Mapping[int, int]) -> float:
    """Recall in per cent of a random order.

    Args:
        k: Length of the list.
        gallery: Number of items.
        rights: How many queries have how many right items, ``{right items: queries}``.
    """
    total = sum(rights.values())
    return 100 * sum(count * (1 - _all_wrong(k, gallery, right)) for right, count in rights.items()) / total


def _all_wrong(k: int, gallery: int, right: int) -> float:
    """C(gallery - right, k) / C(gallery, k): none of k items drawn without replacement is right."""
    if k > gallery - right:
        return 0.0
    wrong = gallery - right
    return exp(lgamma(wrong + 1) - lgamma(wrong - k + 1) - lgamma(gallery + 1) + lgamma(gallery - k + 1))


def recall_curve(
    ks: Sequence[int],
    recalls: Sequence[float],
    bands: Sequence[Sequence[float] | None],
    by_chance: Sequence[float],
    told: str,
) -> str:
    """The curve with its band and the level of chance.

    Args:
        ks: Lengths of lists, ascending from 1.
        recalls: Per cent at each.
        bands: Interval of each, or None.
        by_chance: Per cent at each of a random order.
        told: The chart in words, for those who cannot see it.
    """
    span = log(ks[-1]) or 1

    def x(k: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * log(k) / span

    def y(recall: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * recall / 100

    def path(values: Sequence[float]) -> str:
        return ' '.join(f'{x(k):.1f},{y(value):.1f}' for k, value in zip(ks, values))

    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level}</text>'
        for level in (0, 25, 50, 75, 100)
    ]
    ticks = [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**4, 10**5) if k < 0.75 * ks[-1]]
    lines += [
        f'<text class="tick" x="{x(k):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{k:,}</text>'
        for k in [*ticks, ks[-1]]
    ]
    lines.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        'length of the list, K</text>'
    )
    low = [recall if ends is None else ends[0] for recall, ends in zip(recalls, bands)]
    high = [recall if ends is None else ends[1] for recall, ends in zip(recalls, bands)]
    around = path(high) + ' ' + ' '.join(reversed(path(low).split()))
    dots = ''.join(
        f'<circle class="dot" cx="{x(k):.1f}" cy="{y(recall):.1f}" r="3.5"/>'
        for k, recall in zip(ks, recalls)
        if k in (1, 5, 10)
    )
    names = ''.join(
        f'<text class="name" x="{x(k) + (6 if x(k) < 0.75 * WIDTH else -6):.1f}" y="{y(recall) + 19:.1f}"'
        f' text-anchor="{"start" if x(k) < 0.75 * WIDTH else "end"}">R@{k} {recall:.1f}</text>'
        for k, recall in zip(ks, recalls)
        if k in (1, 10)
    )
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(told)}">{"".join(lines)}'
        f'<polygon class="band" points="{around}"/><polyline class="chance" points="{path(by_chance)}"/>'
        f'<polyline class="line" points="{path(recalls)}"/>{dots}{names}</svg>'
    )
