"""Curves of one or several runs as a picture: a panel for each measurement, a colour and a mark for each run."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

#: Okabe and Ito's colours, which people who see few colours tell apart too; the marks repeat at another pace.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
MARKS = ('o', 's', '^', 'D', 'v')
#: Dashes let a run show through that has the same values as another.
DASHES = ('-', (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)))
#: What the axis says, by the end of the name; of others the name's last part.
UNITS = {
    'R@1': 'recall (%)',
    'R@5': 'recall (%)',
    'R@10': 'recall (%)',
    'mean_R': 'mean of all recalls (%)',
    'MdR': 'median rank',
    'MnR': 'mean rank',
    'data_time': 'seconds per step spent waiting for data',
    'time': 'seconds per step',
    'memory': 'peak GPU memory (MiB)',
    'lr': 'learning rate',
    'grad_norm': 'norm of the gradient',
}
#: Schedules, which have no noise to smooth.
SMOOTH = ('lr', 'base_lr')
#: A distance between two points of a training curve that is so many times the usual one is a gap.
GAP = 3
#: Inches of the widest letter of the legend.
WIDEST = 0.125


def draw_curves(
    path: str | Path,
    runs: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    names: Sequence[str],
    even: Sequence[str] = (),
    smooth: float = 0.0,
    title: str = '',
) -> None:
    """Draws the curves into a file, its type by the ending of its name.

    Args:
        path: File to write: .png, .pdf or .svg; its folder is made.
        runs: By name of the run, then of the curve: steps and values. A run may lack curves; values that are not
            finite are gaps.
        names: Curves to draw, a panel each.
        even: Those of them whose points are at even distances, so that a longer one is a gap. Defaults to none.
        smooth: Weight of the past in the exponential mean that is drawn over the raw curve. Defaults to 0, none.
        title: Above all. Defaults to ''.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    width = max(5.2 * columns, 7.0)
    labels = [textwrap.fill(run, int((width - 1) / WIDEST), drop_whitespace=False) for run in runs]
    legend = 0.3 + 0.19 * sum(label.count('\n') + 1.4 for label in labels)
    figure = Figure(figsize=(width, 3.3 * rows + legend), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    last_step = max(steps[-1] for curves in runs.values() for name, (steps, _) in curves.items() if name in names)
    for panel, name in zip(panels, names):
        for number, curves in enumerate(runs.values()):
            if name in curves:
                _draw(panel, *curves[name], number, name in even, 0 if name in SMOOTH else smooth)
        panel.set_xlim(-0.02 * last_step, 1.03 * last_step)
        panel.set_title(name, fontsize=10, loc='left', fontweight='bold', wrap=True)
        panel.set_xlabel('training step', fontsize=9)
        panel.set_ylabel(_unit(name), fontsize=9)
        panel.grid(alpha=0.25)
        panel.spines[['top', 'right']].set_visible(False)
        panel.tick_params(labelsize=8)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    note = f'thick: exponential mean, weight of the past {smooth:g}; thin: as logged' if smooth else ''
    figure.suptitle('\n'.join(filter(None, (title, note))), fontsize=11)
    figure.legend(
        handles=[_key(number, label) for number, label in enumerate(labels)], loc='outside lower left', fontsize=9
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _unit(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), name.rpartition('/')[2])


def _look(number: int) -> dict:
    return dict(
        color=COLOURS[number % len(COLOURS)],
        linestyle=DASHES[number % len(DASHES)],
        marker=MARKS[number % len(MARKS)],
        fillstyle='none',
        markeredgewidth=1.4,
    )


def _key(number: int, label: str):
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, markersize=6, linewidth=1.6, **_look(number))


def _draw(panel, steps: np.ndarray, values: np.ndarray, number: int, even: bool, smooth: float) -> None:
    values = np.where(np.isfinite(values), values, np.nan)
    every = max(1, len(steps) // 25)
    look = dict(_look(number), markersize=5 + number % 3, markevery=every)
    if not smooth:
        panel.plot(*with_gaps(steps, values, even), linewidth=1.5, **look)
        return
    panel.plot(*with_gaps(steps, values, even), linewidth=0.8, alpha=0.35, color=look['color'])
    panel.plot(*with_gaps(steps, exponential_mean(values, smooth), even), linewidth=2, **look)


def with_gaps(steps: np.ndarray, values: np.ndarray, even: bool) -> tuple[np.ndarray, np.ndarray]:
    """The curve with a NaN where points are missing, so that no line crosses the gap."""
    steps = np.asarray(steps, float)
    distances = np.diff(steps)
    if not even or len(distances) < 2:
        return steps, values
    ends = np.flatnonzero(distances > GAP * np.median(distances)) + 1
    return np.insert(steps, ends, (steps[ends - 1] + steps[ends]) / 2), np.insert(values, ends, np.nan)


def exponential_mean(values: np.ndarray, weight: float) -> np.ndarray:
    """m_t = Σ w^(t-i) x_i / Σ w^(t-i) over the finite x_i up to t; NaN where x_t is not finite."""
    mean, total = 0.0, 0.0
    smoothed = np.full(len(values), np.nan)
    for place, value in enumerate(values):
        if np.isfinite(value):
            mean, total = weight * mean + value, weight * total + 1
            smoothed[place] = mean / total
    return smoothed
