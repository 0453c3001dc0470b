"""What a person wants to see of a run: a head, a bar, a line for each epoch, the figures, and where the files lie."""

import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import BaseLoop, IterBasedTrainLoop

from .console import quiet_console
from .progress import Steps, clock, say
from .run_head import head

#: A line of figures is cut at this width; so many are shown where nothing says which matters.
WIDTH, FEW = 110, 4


class RunConsole(Hook):
    """Shows a run on the console; in the first process only, and never computes anything for it."""

    # What the other hooks have done is shown.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.steps: Steps | None = None
        #: What is known of an epoch that its validation has yet to complete.
        self.line: list[str] = []
        self.metrics: Mapping[str, float] = {}
        self.best: dict[str, str] = {}

    def before_run(self, runner) -> None:
        """The head."""
        for name, text in head(runner):
            _say(f'{name:<12}{text}')

    # Training.

    def before_train(self, runner) -> None:
        """Where a resumed run goes on."""
        self.begun, self.first_iter = time.monotonic(), runner.iter
        if runner._resume:
            _say(f'goes on after epoch {runner.epoch}, iteration {runner.iter} of {runner.max_iters}')
        self.best = _best_files(runner)

    def before_train_epoch(self, runner) -> None:
        """Begins the bar of the epoch, or of a run by iterations."""
        loop = runner.train_loop
        self.epoch_begun, self.counted = time.monotonic(), 0
        if isinstance(loop, IterBasedTrainLoop):
            self._begin('training', loop.max_iters, runner.iter)
        else:
            self._begin(f'epoch {runner.epoch + 1}/{loop.max_epochs}', len(loop.dataloader), loop.batch)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """A step further."""
        self.counted += 1
        if self.steps is not None and self.steps.advance():
            self.steps.show(f'{_loss_and_rate(runner, 10)}  run ETA {self._run_eta(runner, runner.iter + 1)}')

    def after_train_epoch(self, runner) -> None:
        """The line of an epoch, unless its validation follows."""
        self._end()
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop):
            self._flush(runner)
            return
        epoch = runner.epoch + 1
        self.line = [f'epoch {epoch}/{loop.max_epochs}', *self._of_training(runner)]
        if epoch < loop.max_epochs:
            self.line.append(f'run ETA {self._run_eta(runner, runner.iter)}')
        if not loop.validates_after(epoch):
            self._flush(runner)

    def before_val_epoch(self, runner) -> None:
        """In a run by iterations, what was trained up to here."""
        if not self._training(runner):
            return
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop):
            self._end()
            self.line = [f'iteration {runner.iter}/{loop.max_iters}', *self._of_training(runner)]
        self._begin_batches(runner, runner.val_loop, 'validation')

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """A batch further."""
        self._batch_done()

    def after_val_epoch(self, runner, metrics: Mapping[str, float] | None = None) -> None:
        """The line of an epoch, with the figures that it is known by."""
        self._end()
        self.metrics = dict(metrics or {})
        if not self._training(runner):
            return
        self.line += [f'{name} {_figure(self.metrics[name])}' for name in _headline(runner, self.metrics)]
        self._flush(runner)
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop) and runner.iter < loop.max_iters:
            self.epoch_begun, self.counted = time.monotonic(), 0
            self._begin('training', loop.max_iters, runner.iter)

    def after_train(self, runner) -> None:
        """Figures of the last validation, and where the checkpoints lie."""
        _say_all(self.metrics, 'last validation')
        files = {**({'last checkpoint': last} if (last := _last_file(runner)) else {}), **_best_files(runner)}
        for name, path in files.items():
            _say(f'{name:<{max(map(len, files))}}  {path}')

    # Testing.

    def before_test_epoch(self, runner) -> None:
        """Begins the bar."""
        self._begin_batches(runner, runner.test_loop, 'test')

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """A batch further."""
        self._batch_done()

    def after_test_epoch(self, runner, metrics: Mapping[str, float] | None = None) -> None:
        """The figures."""
        self._end()
        _say_all(metrics or {}, 'test')

    # What is open.

    def _begin(self, label: str, total: int, done: int = 0) -> None:
        self._end()
        self.steps = Steps(label, total, done).__enter__()

    def _begin_batches(self, runner, loop: BaseLoop, label: str) -> None:
        # Loops that show their stages themselves say so.
        if not getattr(loop, 'shows_progress', False):
            self._begin(label, len(loop.dataloader))

    def _batch_done(self) -> None:
        if self.steps is not None:
            self.steps.step()
            if self.steps.done >= self.steps.total:  # scoring captions has a bar of its own
                self._end()

    def _end(self) -> None:
        if self.steps is not None:
            self.steps.__exit__()
            self.steps = None

    def close(self, runner) -> None:
        """Ends what is open, however the run has ended."""
        self._end()
        self._flush(runner)

    def _flush(self, runner) -> None:
        """Says the line that was begun, with what was saved by now."""
        if not self.line:
            return
        last, best = _last_file(runner), _best_files(runner)
        if last:
            self.line.append(Path(last).name)
        if best != self.best:
            self.line.append('best so far')
        self.best = best
        _say('  '.join(self.line))
        self.line = []

    def _of_training(self, runner) -> list[str]:
        return [_loss_and_rate(runner, self.counted), clock(time.monotonic() - self.epoch_begun)]

    def _run_eta(self, runner, done: int) -> str:
        each = (time.monotonic() - self.begun) / max(1, done - self.first_iter)
        return clock(each * (runner.max_iters - done))

    @staticmethod
    def _training(runner) -> bool:
        return isinstance(runner._train_loop, BaseLoop)


@contextmanager
def console_of(verbose: bool) -> Iterator[Callable]:
    """The console of a tool that runs a config.

    Args:
        verbose: Whether it shows the whole log, as MMEngine writes it, rather than what a person wants.

    Yields:
        ``with show(runner):`` is the block in which the runner runs.
    """
    if verbose:
        yield lambda runner: nullcontext()
        return
    with quiet_console():
        yield shown


@contextmanager
def shown(runner) -> Iterator[None]:
    """Shows what the runner does in the block."""
    console = RunConsole()
    runner.register_hook(console)
    try:
        yield
    finally:
        console.close(runner)


def _say(text: str) -> None:
    if is_main_process():
        say(text)


def _say_all(metrics: Mapping[str, Any], title: str) -> None:
    """All figures, a paragraph for each metric."""
    groups: dict[str, list[str]] = {}
    for name, value in metrics.items():
        group, _, rest = name.rpartition('/')
        groups.setdefault(group, []).append(f'{rest} {_figure(value)}'.replace(' ', '\0'))
    for group, figures in groups.items():
        text = f'{title}, {group}:' if group else f'{title}:'
        lines = textwrap.wrap('  '.join(figures), WIDTH, break_on_hyphens=False, break_long_words=False)
        for line in (text, *('  ' + line.replace('\0', ' ') for line in lines)):
            _say(line)


def _figure(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f'{value:.2f}' if abs(value) >= 1 or value == 0 else f'{value:.4f}'


def _loss_and_rate(runner, last: int) -> str:
    """Mean loss over the last iterations, and the learning rate: what the log has anyway."""
    scalars = runner.message_hub.log_scalars
    parts = []
    if last and 'train/loss' in scalars:
        parts.append(f'loss {scalars["train/loss"].mean(last):.4g}')
    if 'train/lr' in scalars:
        parts.append(f'lr {scalars["train/lr"].current():.1e}')
    return '  '.join(parts)


def _headline(runner, metrics: Mapping[str, Any]) -> list[str]:
    """Names of the figures that an evaluation is known by: those that choose the best checkpoint, and the metrics'."""
    saver = _saver(runner)
    wanted = list(getattr(saver, 'key_indicators', ()) or ()) if saver is not None and saver.save_best else []
    for metric in getattr(runner.val_evaluator, 'metrics', ()):
        wanted.append(f'{metric.prefix}/{getattr(metric, "headline", None)}')
    found = [name for name in dict.fromkeys(wanted) if name in metrics]
    return found or [name for name, value in metrics.items() if isinstance(value, (int, float))][:FEW]


def _saver(runner) -> CheckpointHook | None:
    return next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)


def _last_file(runner) -> str | None:
    return getattr(_saver(runner), 'last_ckpt', None)


def _best_files(runner) -> dict[str, str]:
    """Paths of the best checkpoints by what they are best in."""
    saver = _saver(runner)
    if saver is None or not saver.save_best:
        return {}
    keys = saver.key_indicators
    paths = {keys[0]: saver.best_ckpt_path} if len(keys) == 1 else saver.best_ckpt_path_dict
    return {f'best {key}': str(path) for key, path in paths.items() if path}
