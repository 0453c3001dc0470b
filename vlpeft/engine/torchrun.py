"""``torchrun`` whose exit code says whether the run can go on: ``python -m vlpeft.engine.torchrun`` and its arguments.

A signal goes to all processes of the run. ``torchrun`` itself ends with 1 then, and does not know SIGUSR1.
"""

import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from .ranks import NOTE
from .stopping import EXIT_CODE

#: Seconds from a signal until processes that are still there are killed. Read by torch 2.8 and later; earlier, 30.
GRACE = dict(TORCH_ELASTIC_SHUTDOWN_TIMEOUT='120')

#: Its logger tells which process failed, and which are ended for it.
REPORTER = 'torch.distributed.elastic.multiprocessing.api'


def main() -> None:
    """Runs ``torchrun``.

    Raises:
        SystemExit: 75 if the run was stopped and is saved; the code of a process that failed and said why.
        ChildFailedError: A process failed and did not say why.
        SignalException: A signal ended the run, and nothing says that it is saved.
    """
    for name, value in GRACE.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with tempfile.TemporaryDirectory() as folder:
        logging.getLogger(REPORTER).addFilter(lambda record: not _has_said(folder))
        note = Path(folder, 'stopped')
        os.environ[NOTE] = str(note)
        try:
            run.main()
        except (ChildFailedError, SignalException) as error:
            if note.is_file():
                sys.exit(EXIT_CODE)
            # One that a signal killed has said nothing, whatever the others say of losing it.
            code = error.get_first_failure()[1].exitcode if isinstance(error, ChildFailedError) else 0
            if _has_said(folder) and code > 0:
                sys.exit(code)
            raise


def _has_said(folder: str) -> bool:
    """Whether a process has told its error (:func:`vlpeft.engine.messages.tell`)."""
    return any(Path(folder).glob('said-*'))


if __name__ == '__main__':
    main()
