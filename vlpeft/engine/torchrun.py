"""``torchrun`` whose exit code says whether the run can go on: ``python -m vlpeft.engine.torchrun`` and its arguments.

A signal goes to all processes of the run. ``torchrun`` itself ends with 1 then, and does not know SIGUSR1.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from .stopping import EXIT_CODE, NOTE

#: Seconds from a signal until processes that are still there are killed. Read by torch 2.8 and later; earlier, 30.
GRACE = dict(TORCH_ELASTIC_SHUTDOWN_TIMEOUT='120')


def main() -> None:
    """Runs ``torchrun``.

    Raises:
        SystemExit: 75 if the run was stopped and is saved.
        ChildFailedError: A process failed.
        SignalException: A signal ended the run, and nothing says that it is saved.
    """
    for name, value in GRACE.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, 'stopped')
        os.environ[NOTE] = str(note)
        try:
            run.main()
        except (ChildFailedError, SignalException):
            if note.is_file():
                sys.exit(EXIT_CODE)
            raise


if __name__ == '__main__':
    main()
