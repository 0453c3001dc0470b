"""Numbers of places by depth as heat maps: a panel for each quantity, a row for each part of a tower."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

#: Of even lightness, so that people who see few colours read it as others do.
COLOURS = 'cividis'
#: Cells in which numbers are written, at most.
WRITTEN = 400
#: Inches of a cell, and of a letter of the labels.
WIDE, HIGH, LETTER = 0.46, 0.34, 0.088


def draw_depth_maps(
    path: str | Path, panels: Mapping[str, Mapping[str, Mapping[int | None, float]]], title: str = ''
) -> None:
    """Draws the panels below each other into a file, its type by the ending of its name.

    Args:
        path: .png, .pdf or .svg; its folder is made.
        panels: By quantity, then by row, a number for each depth; depth None is outside of all blocks.
        title: Above all. Defaults to ''.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grids = {name: _grid(rows) for name, rows in panels.items()}
    label = max(len(row) for rows in panels.values() for row in rows) * LETTER
    columns = max(len(names) for names, _ in grids.values())
    width = max(7.5, label + WIDE * columns + 1.8, LETTER * max(map(len, [title, *panels])) + 0.8)
    heights = [HIGH * len(rows) + 1.05 for rows in panels.values()]
    figure = Figure(figsize=(width, sum(heights) + 0.5 * bool(title)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights).ravel()
    for panel, (name, (depths, grid)) in zip(axes, grids.items()):
        _draw(figure, panel, name, list(panels[name]), depths, grid)
    if title:
        figure.suptitle(title, fontsize=12, fontweight='bold')
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _grid(rows: Mapping[str, Mapping[int | None, float]]) -> tuple[list[str], np.ndarray]:
    """Names of the columns, and the numbers (rows, columns), NaN where there is none."""
    depths = sorted({depth for row in rows.values() for depth in row if depth is not None})
    every = list(range(depths[-1] + 1)) if depths else []
    keys = every + ([None] if any(None in row for row in rows.values()) else [])
    names = ['outside' if key is None else str(key) for key in keys]
    return names, np.array([[row.get(key, np.nan) for key in keys] for row in rows.values()], float)


def _draw(figure, panel, name: str, rows: Sequence[str], depths: Sequence[str], grid: np.ndarray) -> None:
    from matplotlib import colormaps

    colours = colormaps[COLOURS].with_extremes(bad='#d9d9d9')
    finite = grid[np.isfinite(grid)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    # Of numbers that are all alike, the colour says nothing.
    low, high = (min(low, 0.0), high) if low >= 0 else (low, high)
    high = high if high > low else low + 1
    image = panel.imshow(np.ma.masked_invalid(grid), cmap=colours, vmin=low, vmax=high, aspect='auto')
    panel.set_title(name, fontsize=10, loc='left', fontweight='bold')
    panel.set_yticks(range(len(rows)), rows, fontsize=8)
    step = max(1, len(depths) // 40)
    panel.set_xticks(range(0, len(depths), step), depths[::step], fontsize=8)
    panel.set_xlabel('depth (index of the block)', fontsize=9)
    panel.tick_params(length=0)
    figure.colorbar(image, ax=panel, pad=0.01, fraction=0.03).ax.tick_params(labelsize=8)
    if grid.size <= WRITTEN:
        for (row, column), value in np.ndenumerate(grid):
            if np.isfinite(value):
                dark = (value - low) / (high - low) < 0.55
                panel.text(
                    column, row, short(value), ha='center', va='center', fontsize=6.5, color='w' if dark else 'k'
                )


def short(value: float) -> str:
    """At most six letters: ``0.031``, ``1.2e-5``, ``1.4e+3``."""
    if value == 0:
        return '0'
    if 1e-3 <= abs(value) < 1000:
        return f'{value:.2g}' if abs(value) < 1 else f'{value:.3g}'
    mantissa, _, exponent = f'{value:.1e}'.partition('e')
    return f'{mantissa}e{int(exponent)}'
