"""The report of a test: what the run knows, handed to the page."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from vlpeft.datasets.pictures import Pictures

from .loops import RetrievalTestLoop
from .run_head import head
from .versions import versions

PACKAGE = Path(__file__).parents[1]
#: Lines of a run's head that its result tells.
TOLD = ('method', 'base', 'model', 'parameters', 'device', 'work folder')


def check_writable(file: str | Path) -> None:
    """Makes the folder of a file, and whether the file can be written there.

    Raises:
        OSError: It cannot.
    """
    if Path(file).is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    folder = Path(file).parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def metrics_with_loops(runner) -> Iterator[tuple[Any, BaseLoop]]:
    """Yields each metric of the test with the loop, of its task, that fills it."""
    loops = getattr(runner.test_loop, 'loops', None) or {'': runner.test_loop}
    for loop in loops.values():
        for metric in loop.evaluator.metrics:
            yield metric, loop


class KeepGallery(Hook):
    """Before the test: retrieval is to keep the features that say how much each frame counts."""

    def before_test(self, runner) -> None:
        for _, loop in metrics_with_loops(runner):
            if isinstance(loop, RetrievalTestLoop):
                loop.keeps_gallery = True


def left_out(runner) -> dict[str, dict[str, str]]:
    """Files that a retrieval test could not read, {prefix: {name: reason}}; other metrics keep them as predictions."""
    loops = {metric.prefix: loop for metric, loop in metrics_with_loops(runner)}
    return {prefix: dict(loop.left_out) for prefix, loop in loops.items() if getattr(loop, 'left_out', None)}


def run_facts(runner) -> dict[str, str]:
    """What is known of a run, in words: method, base, test set, device, date, versions, and commit of a checkout."""
    facts = {name: text for name, text in head(runner) if name in TOLD}
    sets = dict.fromkeys(map(_set, (loop.dataloader.dataset for _, loop in metrics_with_loops(runner))))
    facts['test set'] = '; '.join(sets)
    facts['date'] = datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC')
    facts['versions'] = versions()
    found = commit()
    return {**facts, 'commit': found} if found else facts


def commit() -> str | None:
    """Commit of the checkout that runs, with '+' where files differ from it; None of an installed package."""
    if not (PACKAGE.parent / '.git').exists():
        return None
    try:
        return _git('rev-parse', '--short=12', 'HEAD') + '+' * bool(_git('status', '--porcelain', '-uno'))
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    command = ['git', '-C', str(PACKAGE.parent), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write_run_report(folder: str | Path, runner, result: Mapping[str, Any]) -> Path:
    """Writes the page of a test that has ended, see :func:`vlpeft.visualization.report.write_report`."""
    from vlpeft.visualization.report import write_report

    loops = {metric.prefix: loop for metric, loop in metrics_with_loops(runner)}
    frames = {prefix: Pictures(loop.dataloader.dataset).frames for prefix, loop in loops.items()}
    weights = {prefix: loop.frame_weights for prefix, loop in loops.items() if isinstance(loop, RetrievalTestLoop)}
    return write_report(folder, result, frames, weights)


def _set(dataset: Any) -> str:
    size = f'{type(dataset).__name__}, {len(dataset):,} samples'
    file = getattr(dataset, 'ann_file', '')
    return f'{file} ({size})' if file else size
