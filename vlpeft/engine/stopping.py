"""How a run that was asked to stop ends, and how those who started it hear of it: exit code 75, once all is saved."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed
from mmengine.logging import print_log

from .ranks import NOTE

#: Exit code of a run that saved what it had done, and goes on with ``--resume``: EX_TEMPFAIL.
EXIT_CODE = 75
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Stopped(SystemExit):
    """A run ends early because it was asked to, and a checkpoint holds all it has done.

    Args:
        message: What happened and where the run goes on.
        together: Whether all processes end at the same step.
    """

    def __init__(self, message: str, together: bool) -> None:
        super().__init__(EXIT_CODE)
        self.message, self.together = message, together


@contextmanager
def leaving_when_stopped(runner) -> Iterator[None]:
    """Ends the process in good order when the run in the block was stopped."""
    try:
        yield
    except Stopped as stopped:
        print_log(stopped.message, logger='current', level=logging.WARNING)
        runner.visualizer.close()
        several = torch.distributed.is_initialized()
        if several and stopped.together:
            torch.distributed.barrier()  # all have saved
        if note := os.environ.get(NOTE):
            Path(note).touch()
        # Launchers send a signal to the rest when the first process has left.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if several:
            # Threads of a process group can abort a process that Python shuts down, and it ends only without a runner.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(EXIT_CODE)
        raise
