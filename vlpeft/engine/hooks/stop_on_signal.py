"""SIGTERM, SIGINT and SIGUSR1: finish the step, save, and end."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.util import Finalize

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from vlpeft.engine.loaders import end_workers, loaders
from vlpeft.engine.stopping import SIGNALS, Stopped
from vlpeft.registry import HOOKS

from .resumable_checkpoint import ResumableCheckpointHook

#: Seconds between two exchanges of the processes, about: each waits for all of them.
EXCHANGE_EVERY = 1.0


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """Lets a run end on a signal without losing a step; the process then exits with 75.

    * In training, the running step, or accumulation cycle, is finished and saved. Several processes stop at the same
      step, whichever of them got the signal; they ask each other about once a second.
    * In a validation, the run ends at once if the checkpoint before it is in the work folder: the resumed run begins
      with the validation. Otherwise the validation and one more step come first.
    * A second signal ends the process at once, wherever it is.

    Handlers are set for the time of the training, in the main thread only. Loader workers outlive a first signal, so
    that one to a whole process group (Ctrl-C, ``torchrun``) does not end them before the run has saved; they end with
    the run. Without a hook that saves (:class:`ResumableCheckpointHook`), signals do what they did before.

    Raises:
        Stopped: The run has stopped.
    """

    priority = 'LOWEST'  # what is saved is what the other hooks leave

    def __init__(self) -> None:
        self.saver: ResumableCheckpointHook | None = None
        self.former = {}
        self.process = 0
        self.leaves_at_once = False
        self.received = self.agreed = 0
        self.steps, self.steps_apart, self.exchanged_at = 0, 1, 0.0

    def before_train(self, runner) -> None:
        """Sets the handlers."""
        self.saver = next((hook for hook in runner.hooks if isinstance(hook, ResumableCheckpointHook)), None)
        if self.saver is None or threading.current_thread() is not threading.main_thread():
            return
        for loader in loaders(runner.train_loop, runner.val_loop):
            loader.worker_init_fn = PatientWorker(loader.worker_init_fn)
        # Python ends the workers that are left, such as persistent ones, with one SIGTERM and waits for them.
        Finalize(None, _end_workers, exitpriority=0)
        self.process, self.exchanged_at = os.getpid(), time.monotonic()
        for number in SIGNALS:
            self.former[number] = signal.signal(number, self._note)
            # Libraries' interrupted system calls go on.
            signal.siginterrupt(number, False)

    def after_train(self, runner) -> None:
        """Puts the former handlers back."""
        for number, handler in self.former.items():
            signal.signal(number, handler)
        self.former = {}

    def after_run(self, runner) -> None:
        """Ends persistent loader workers."""
        loops = (runner._train_loop, runner._val_loop, runner._test_loop)
        for loader in loaders(*(loop for loop in loops if isinstance(loop, BaseLoop))):
            end_workers(loader)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Saves and stops, if asked; the last step of an epoch is saved with the epoch."""
        if self.former and self._asked() and runner.optim_wrapper.should_update() and self.saver.save_within(runner):
            self._stop(f'after iteration {runner.iter + 1}')

    def after_train_epoch(self, runner) -> None:
        """Saves and stops, if asked."""
        if self.agreed:
            self.saver.save_after_epoch(runner)
            self._stop(f'after epoch {runner.epoch + 1}')

    def before_val_epoch(self, runner) -> None:
        """From here on a signal need not wait."""
        if self.former and self.saver.is_saved(runner):
            self.leaves_at_once = True
            if self.received:
                self._leave_validation()

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """The next signal waits for a step again."""
        self.leaves_at_once = False

    def _note(self, number: int, frame) -> None:
        """The handler."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self.received = number
        if self.leaves_at_once and os.getpid() == self.process:
            self._leave_validation()

    def _asked(self) -> bool:
        """Whether any process got a signal; the same in all of them."""
        if get_world_size() == 1:
            self.agreed = self.received
        elif not self.agreed:
            self.steps += 1
            if self.steps >= self.steps_apart:
                self._exchange()
        return bool(self.agreed)

    def _exchange(self) -> None:
        now = time.monotonic()
        said = torch.tensor([self.received, (now - self.exchanged_at) / self.steps], dtype=torch.float64)
        all_reduce(said, 'max')
        self.agreed, seconds_a_step = int(said[0]), float(said[1])
        self.steps, self.steps_apart, self.exchanged_at = 0, max(1, int(EXCHANGE_EVERY / seconds_a_step)), now

    def _stop(self, where: str) -> None:
        raise Stopped(
            f'{signal.Signals(self.agreed).name}: the run stops {where}, which is saved as '
            f'{self.saver.last_ckpt}; --resume goes on from there',
            together=True,
        )

    def _leave_validation(self) -> None:
        raise Stopped(
            f'{signal.Signals(self.received).name}: the run stops in a validation, the step before it is '
            f'saved as {self.saver.last_ckpt}; --resume begins with the validation',
            together=False,
        )


class PatientWorker:
    """Initialises a loader worker that outlives the first signal of each kind; torch's own ends with a SIGTERM.

    Args:
        initialise: What else is done in a new worker, with its number.
    """

    def __init__(self, initialise: Callable[[int], None] | None) -> None:
        self.initialise = initialise

    def __call__(self, worker: int) -> None:
        if self.initialise is not None:
            self.initialise(worker)
        for number in SIGNALS:
            signal.signal(number, _next_one_ends)


def _end_workers() -> None:
    # torch would tell of their end as of a fault.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        worker.kill()


def _next_one_ends(number: int, frame) -> None:
    signal.signal(number, signal.SIG_DFL)
