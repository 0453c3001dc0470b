"""Pictures of a comparison of methods: score against what is trained, learning curves, time and memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .curves import COLOURS, DASHES, MARKS

SIZE = (8.0, 4.8)


def draw_scores(path: str | Path, rows: Sequence[Mapping[str, Any]], metric: str) -> None:
    """Score against the share of parameters that is trained, on a logarithmic axis; whiskers are 95 % intervals.

    What trains nothing is a line across the picture.

    Args:
        path: ``.svg`` or ``.png``; its folder is made.
        rows: Of :func:`vlpeft.comparison.table.rows_of`.
        metric: Name of the score.
    """
    figure, panel = _figure()
    for number, row in enumerate(rows):
        look = dict(color=COLOURS[number % len(COLOURS)], label=row['title'])
        if not row['trained']:
            panel.axhline(row['score'], linestyle=DASHES[1], linewidth=1.2, **look)
            continue
        ends = (
            None if row['low'] is None else [[max(0, row['score'] - row['low'])], [max(0, row['high'] - row['score'])]]
        )
        panel.errorbar(
            row['percent'], row['score'], yerr=ends, fmt=MARKS[number % len(MARKS)], capsize=3, markersize=6, **look
        )
    if any(row['trained'] for row in rows):
        panel.set_xscale('log')
    panel.set_xlabel('trained parameters (% of all)')
    panel.set_ylabel(metric)
    _save(figure, path)


def draw_learning(
    path: str | Path, curves: Mapping[str, Sequence[tuple[Sequence[float], Sequence[float]]]], name: str
) -> None:
    """Curves of a measurement against training steps: a colour for each method, a line for each seed."""
    figure, panel = _figure()
    for number, (title, seeds) in enumerate(curves.items()):
        look = dict(color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number // len(COLOURS) % len(DASHES)])
        for first, (steps, values) in enumerate(seeds):
            panel.plot(steps, values, linewidth=1.3, label=None if first else title, **look)
    panel.set_xlabel('training step')
    panel.set_ylabel(name)
    _save(figure, path)


def draw_costs(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Bars: seconds of a training step, and memory."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    shown = [row for row in rows if row['seconds_per_step'] is not None]
    figure = Figure(figsize=(SIZE[0], 1.2 + 0.28 * len(shown)), layout='constrained')
    FigureCanvasSVG(figure)
    places = np.arange(len(shown))[::-1]
    for panel, key, scale, unit in zip(
        figure.subplots(1, 2, sharey=True), ('seconds_per_step', 'memory'), (1, 2**20), ('s/step', 'memory (MiB)')
    ):
        panel.barh(places, [(row[key] or 0) / scale for row in shown], color=COLOURS[0], height=0.65)
        panel.set_yticks(places, [row['title'] for row in shown], fontsize=8)
        panel.set_xlabel(unit)
        panel.spines[['top', 'right']].set_visible(False)
    _save(figure, path, legend=False)


def _figure():
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout='constrained')
    FigureCanvasSVG(figure)
    panel = figure.subplots()
    panel.grid(alpha=0.25)
    panel.spines[['top', 'right']].set_visible(False)
    return figure, panel


def _save(figure, path: str | Path, legend: bool = True) -> None:
    """Saves without a date and with fixed names of parts, so that the same records give the same file."""
    import matplotlib

    if legend:
        figure.legend(loc='outside right upper', fontsize=8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({'svg.hashsalt': 'vlpeft', 'svg.fonttype': 'path'}):
        figure.savefig(path, metadata=dict(Date=None) if str(path).endswith('.svg') else None)
