"""A console for people: MMEngine's loggers write all to the log file, and to the console what needs attention.

What they do not know, the head of a run, a bar and a line for each epoch, is :mod:`vlpeft.engine.run_console`'s.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader

from .progress import say
from .ranks import first_process

#: Warnings about MMEngine's own insides, and about what it sets for the user: for the log file. Its schedulers step
#: with each batch, as they should, also where the optimizer waits for several.
INSIDES = (
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    '_NUM_THREADS environment variable',
    'Detected call of `scheduler.step()` before `optimizer.step()`',
)
#: What libraries will change some day is for those who write programs with them.
FOR_PROGRAMMERS = (DeprecationWarning, FutureWarning, PendingDeprecationWarning)
#: ``logger.info(text, extra=FOR_PEOPLE)`` comes to the console too.
FOR_PEOPLE = dict(for_people=True)
COLOURS = {logging.WARNING: 'yellow', logging.ERROR: 'red', logging.CRITICAL: 'red'}


class ConsoleHandler(logging.Handler):
    """Writes warnings and errors as ``warning: text``, notes :data:`FOR_PEOPLE` as ``note: text``, equal ones once; of
    the other processes of a run, errors only.

    Args:
        on_error: Whether to standard error, where standard output is for results. Defaults to False.
    """

    def __init__(self, on_error: bool = False) -> None:
        super().__init__(logging.INFO if first_process() else logging.ERROR)
        self.seen: set[str] = set()
        self.on_error = on_error
        self.addFilter(self._matters)

    def _matters(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            return True
        asked_for = record.levelno >= logging.WARNING or getattr(record, 'for_people', False)
        if not asked_for or text in self.seen or any(inside in text for inside in INSIDES):
            return False
        self.seen.add(text)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.levelname.lower() if record.levelno >= logging.WARNING else 'note'
        say(f'{kind}: {self.format(record)}', COLOURS.get(record.levelno), self.on_error)


@contextmanager
def quiet_console(on_error: bool = False) -> Iterator[None]:
    """In the block, loggers and Python's warnings write to the console only what needs attention, ``on_error`` to
    standard error; files get all.
    """
    make = MMLogger.__init__

    def make_quiet(logger: MMLogger, *args, **kwargs) -> None:
        make(logger, *args, **kwargs)
        _quieten(logger, on_error)

    read = CheckpointLoader.load_checkpoint

    def read_quietly(filename: str, map_location=None, logger=None):
        return read(filename, map_location, logger or 'current')

    logger = MMLogger.get_current_instance()
    loud, method = list(logger.handlers), CheckpointLoader.__dict__['load_checkpoint']
    # A runner writes environment and config from its constructor, before anyone else sees its logger.
    MMLogger.__init__ = make_quiet
    # Where a runner names no logger to it, MMEngine prints what it reads.
    CheckpointLoader.load_checkpoint = staticmethod(read_quietly)
    _quieten(logger, on_error)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _log_warning
            yield
    finally:
        MMLogger.__init__ = make
        CheckpointLoader.load_checkpoint = method
        logger.handlers[:] = loud


def _quieten(logger: MMLogger, on_error: bool) -> None:
    files = [handler for handler in logger.handlers if not _is_console(handler)]
    logger.handlers[:] = [ConsoleHandler(on_error), *files]


def _is_console(handler: logging.Handler) -> bool:
    # One of ours is there where a run in this process takes the logger of one that began in the same second.
    if isinstance(handler, ConsoleHandler):
        return True
    return isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)


def _log_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """In place of :func:`warnings.showwarning`."""
    level = logging.INFO if issubclass(category, FOR_PROGRAMMERS) else logging.WARNING
    text = ' '.join(str(message).split())
    MMLogger.get_current_instance().log(level, f'{text} ({category.__name__} of {filename}:{lineno})')
