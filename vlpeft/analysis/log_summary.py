"""The figures of a run's log: best, last, seconds of a step, peak memory."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .run_log import RunLog

#: Last parts of the names of what is better if it is smaller; all other metrics are better if they are larger.
SMALLER = ('MdR', 'MnR', 'time', 'data_time', 'memory', 'grad_norm')
#: What has no best value.
NEITHER = ('lr', 'base_lr')


def direction(name: str) -> str | None:
    """``'min'`` or ``'max'``: which value of a curve is its best; None: none is."""
    last = name.rpartition('/')[2]
    if last in NEITHER or last.endswith('_lr'):
        return None
    return 'min' if last.startswith('loss') or last.split('_')[-1] in SMALLER or last in SMALLER else 'max'


def summarise(log: RunLog, names: Iterable[str]) -> dict[str, Any]:
    """Figures of a run.

    Args:
        log: Of the run.
        names: Curves to tell about; those that the run lacks are left out.

    Returns:
        ``steps``: the last step that is logged; ``seconds_per_step``: the median of the logged means, and
        ``peak_memory_mib``, of the first GPU, None where none is logged; ``curves``: by name ``better`` ('min', 'max'
        or None), ``best`` and ``best_step`` (the first of equal ones; None without finite values), ``last`` and
        ``last_step``, ``points`` and of them ``not_finite``; ``notes``.
    """
    curves = {**log.training, **log.validation}
    return dict(
        path=str(log.path),
        steps=max(int(curve.steps[-1]) for curve in curves.values()),
        seconds_per_step=_finite(log.training, 'time', np.median),
        peak_memory_mib=_finite(log.training, 'memory', np.max),
        curves={name: _figures(name, *curves[name]) for name in names if name in curves},
        notes=list(log.notes),
    )


def _finite(curves: Mapping, name: str, of) -> float | None:
    values = curves[name].values if name in curves else np.array([])
    values = values[np.isfinite(values)]
    return float(of(values)) if len(values) else None


def _figures(name: str, steps: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    better, finite = direction(name), np.isfinite(values)
    figures = dict(
        better=better,
        best=None,
        best_step=None,
        last=float(values[-1]) if finite[-1] else None,
        last_step=int(steps[-1]),
        points=len(values),
        not_finite=int((~finite).sum()),
    )
    if better and finite.any():
        at = (np.argmin if better == 'min' else np.argmax)(values[finite])
        figures.update(best=float(values[finite][at]), best_step=int(steps[finite][at]))
    return figures
