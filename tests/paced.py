"""Hooks for runs that get signals: one sends them to its own process at a chosen moment, one tells how far a run is."""

import os
import signal
import time

from mmengine.hooks import Hook

from vlpeft.registry import HOOKS


@HOOKS.register_module()
class SendSignal(Hook):
    """Sends the process a signal in the course of a run, once.

    Args:
        number: Of the signal.
        at: ``step``, ``epoch``, ``validation`` or ``validated``.
        step: Iterations, or epochs, that are done before.
    """

    priority = 'VERY_HIGH'

    def __init__(self, number: int, at: str, step: int) -> None:
        self.number, self.at, self.step = number, at, step

    def _send(self, at: str, step: int) -> None:
        if (at, step) == (self.at, self.step):
            self.at = None
            signal.raise_signal(self.number)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._send('step', runner.iter)

    def after_train_epoch(self, runner) -> None:
        self._send('epoch', runner.epoch)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._send('validation', runner.epoch)

    def after_val_epoch(self, runner, metrics=None) -> None:
        self._send('validated', runner.epoch)


@HOOKS.register_module()
class TellProgress(Hook):
    """Prints ``at <process> train`` or ``val`` at each iteration, and waits a little."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds = seconds

    def _tell(self, phase: str) -> None:
        # One write, so that the lines of two processes never mix: print writes text and line end apart where output is
        # a pipe that is not buffered.
        os.write(1, f'at {os.getpid()} {phase}\n'.encode())
        time.sleep(self.seconds)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._tell('train')

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._tell('val')
