"""The log of a run as curves: the lines of ``vis_data``, those of a run that was resumed joined to one.

MMEngine writes a line for every few training iterations (``iter`` and ``step`` are the iteration) and one for every
validation, whose ``step`` is the epoch where the run trains by epochs. Here all steps are training iterations: an
epoch's length stands in the text log beside the lines.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlpeft.nearest import suggestion

#: What of a line is no measurement.
PLACES = ('step', 'iter', 'epoch')
#: What a validation's line holds beside its metrics: seconds of a batch.
CLOCKS = ('time', 'data_time')
_EPOCH = re.compile(r'Epoch\(train\)\s*\[\s*\d+\]\[\s*\d+/(\d+)\]')
_RESUMED = re.compile(r'resumed epoch: \d+, iter: (\d+)')


class LogError(ValueError):
    """A file or folder that holds no log of a training run."""


class Curve(NamedTuple):
    """A measurement by training iteration; values may be NaN or infinite."""

    steps: np.ndarray
    values: np.ndarray


@dataclass
class RunLog:
    """Curves of a run.

    Attributes:
        path: What was read.
        training: Of training lines, by name: ``loss``, ``lr``, ``time`` (seconds of a step), ``memory`` (MiB), …
        validation: Of validations: the metrics by name.
        notes: What was left out and why, a line each.
    """

    path: Path
    training: dict[str, Curve]
    validation: dict[str, Curve]
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """All curves: the validation's last."""
        return [*self.training, *self.validation]


class _Session(NamedTuple):
    """One start of a run: its lines as (step, values), and the iteration that it went on from (0: from the first)."""

    file: Path
    training: list[tuple[int, dict]]
    validation: list[tuple[int, dict]]
    start: int


def read_run(path: str | Path) -> RunLog:
    """Reads a run.

    Args:
        path: A work folder; one of its time-stamped folders; or a file of lines below ``vis_data``.

    Returns:
        Its curves. Of steps that several starts of the run have, the last start's count.

    Raises:
        LogError: There is no such file or folder, it holds no log, or a line is damaged that is not the last.
    """
    path = Path(path).expanduser()
    notes: list[str] = []
    sessions = [session for file in log_files(path) if (session := _read_session(file, notes)) is not None]
    if not sessions:
        raise LogError(f'{path}: nothing is logged yet' + ''.join(f'; {note}' for note in notes))
    training, validation = _join(sessions, notes)
    return RunLog(path, _curves(training, ()), _curves(validation, CLOCKS), notes)


def log_files(path: Path) -> list[Path]:
    """The files of lines of a run, the oldest start first; arguments and errors: :func:`read_run`."""
    if path.is_file():
        return [path]
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        raise LogError(f'{path} does not exist{suggestion(path.name, beside)}')
    folders = sorted({path / 'vis_data', *path.glob('*/vis_data')}) if path.name != 'vis_data' else [path]
    found = []
    for folder in folders:
        # MMEngine writes the same lines twice, to a file of the start's name and to scalars.json.
        named = folder / f'{folder.parent.name}.json'
        found += [file for file in (named, folder / 'scalars.json') if file.is_file()][:1]
    if not found:
        runs = sorted({file.parents[2].name for file in path.glob('*/*/vis_data/scalars.json')})
        below = f'; it has runs below: {", ".join(runs)}' if runs else ''
        raise LogError(
            f'{path} holds no log of a run (…/vis_data/scalars.json, which visualizer.vis_backends of the type '
            f'LocalVisBackend writes){below}'
        )
    return found


def _read_session(file: Path, notes: list[str]) -> _Session | None:
    lines = _read_lines(file, notes)
    text = file.parent.parent / f'{file.parent.parent.name}.log'
    told = text.read_text(errors='replace') if text.is_file() else ''
    found = _EPOCH.search(told)
    length = int(found[1]) if found else None
    resumed = _RESUMED.findall(told)
    training, validation, guessed, last = [], [], False, 0
    for step, values in lines:
        if 'iter' in values:
            training.append((step, values))
            last = step
            continue
        if 'epoch' in (training[-1][1] if training else ()) or length:
            guessed |= not length
            step = step * length if length else last
        elif step < last:  # a run by iterations that counts epochs of its data
            guessed, step = True, last
        validation.append((step, values))
    if guessed:
        notes.append(f'{file}: validations are placed at the last logged step before them; {text.name} is missing')
    if not training and not validation:
        notes.append(f'{file}: no line yet')
        return None
    start = int(resumed[-1]) if resumed else min(step for step, _ in training or validation) - 1
    return _Session(file, training, validation, max(start, 0) if resumed or training else 0)


def _read_lines(file: Path, notes: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """(step, values) of each line; a last line that is only half there is left out and told."""
    try:
        lines = file.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise LogError(f'{file}: is no log of a run: byte {error.start} is no text') from None
    read = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) and read:
                notes.append(f'{file}:{number}: the last line is only half written and is left out')
                break
            raise LogError(f'{file}:{number}: is no line of a log, which is one JSON object') from None
        read.append(_checked(values, f'{file}:{number}'))
    return read


def _checked(values: Any, where: str) -> tuple[int, dict[str, Any]]:
    if not isinstance(values, dict):
        raise LogError(f'{where}: is no line of a log, which is one JSON object, but {type(values).__name__}')
    step = values.get('step')
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise LogError(f'{where}: is no line of a training log: it has no whole number "step"')
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise LogError(f'{where}: {name} is {value!r}, not a number')
    return step, values


def _join(sessions: list[_Session], notes: list[str]) -> tuple[list, list]:
    """The lines of all starts; of what a later one did again only its own."""
    training: dict[int, dict] = {}
    validation: dict[int, dict] = {}
    for number, session in enumerate(sessions):
        again = [step for step in training if step > session.start]
        if number and again:
            kept = 'nothing' if session.start <= 0 else f'steps up to {session.start:,}'
            notes.append(
                f'{session.file.parent.parent.name} goes on from step {session.start:,}: of the starts before it '
                f'{kept} counts, later lines ({len(again)}) are left out'
            )
        training = {step: values for step, values in training.items() if step <= session.start}
        validation = {step: values for step, values in validation.items() if step <= session.start}
        training.update(session.training)
        validation.update(session.validation)
    return sorted(training.items()), sorted(validation.items())


def _curves(lines: Iterable[tuple[int, Mapping[str, Any]]], without: tuple[str, ...]) -> dict[str, Curve]:
    lines = list(lines)
    names = dict.fromkeys(name for _, values in lines for name in values if name not in (*PLACES, *without))
    curves = {}
    for name in names:
        points = [(step, values[name]) for step, values in lines if name in values]
        curves[name] = Curve(np.array([step for step, _ in points]), np.array([value for _, value in points], float))
    return curves


def chosen_names(logs: Iterable[RunLog], wanted: Iterable[str] | None) -> list[str]:
    """Names of the curves to show.

    Args:
        logs: Runs.
        wanted: Names that the user gave; None: loss, learning rate and every metric of the validations.

    Raises:
        LogError: No run has such a curve; the message lists those there are.
    """
    logs = list(logs)
    there = list(dict.fromkeys(name for log in logs for name in log.names))
    if wanted is None:
        return [name for name in there if name in ('loss', 'lr') or any(name in log.validation for log in logs)]
    for name in wanted:
        if name not in there:
            raise LogError(f'no run has a curve {name!r}; there are {", ".join(there)}')
    return list(dict.fromkeys(wanted))
