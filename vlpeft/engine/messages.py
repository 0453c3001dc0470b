"""How a command ends when something is wrong: a user's mistake with one line on standard error, ours with a traceback.

A mistake is what vlpeft itself refuses: its own exceptions, and others that a ``raise`` of its own code raises; files
that are not there or may not be read; packages that are not installed; too little memory. All else is unexpected.
"""

import argparse
import hashlib
import linecache
import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from .ranks import first_process, shared_folder
from .versions import versions

DEBUG = '--debug'
#: Exit codes: a command line that cannot be understood, and whatever else is wrong.
USAGE, FAILED = 2, 1
DEBUG_HELP = f'\nEvery command takes {DEBUG}, which shows the traceback of an error.'
PACKAGE = Path(__file__).parents[1]
#: Whose code speaks to users.
OURS = (PACKAGE, PACKAGE.parent / 'tools')
OUT_OF_MEMORY = (
    'choose a smaller batch_size of the data loader, --amp, or gradient_checkpointing of the model; '
    'tools/analysis_tools/estimate_memory.py says what a run needs'
)
_IN_WORKER = 'Original Traceback (most recent call last):'
_CALL = re.compile(r'File "(.+?)", line \d+, in .*\n\s+(.*)')


def run_main(main: Callable[[], int | None]) -> int:
    """Runs a command on the arguments of the process; for ``sys.exit(run_main(main))``.

    Args:
        main: Parses ``sys.argv`` and returns an exit code, None for 0.

    Returns:
        Exit code of the command. Of an error, which is told on standard error: 2 for a command line that cannot
            be understood, else 1; 130 for an interruption.

    Raises:
        SystemExit: Where ``main`` ends with a code of its own, such as that of a run that was stopped.
    """
    debug = DEBUG in sys.argv[1:]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != DEBUG]
    try:
        with short_parser_errors():
            code = main() or 0
            sys.stdout.flush()
            return code
    except SystemExit as end:
        if isinstance(end.code, str):
            if debug:
                traceback.print_exception(end)
            tell(end.code)
            return FAILED
        if end.code == 0 and {'-h', '--help'} & set(sys.argv[1:]):
            with suppress(BrokenPipeError):
                print(DEBUG_HELP, flush=True)
        raise
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return FAILED
        text = mistake(error)
        if debug or text is None:
            traceback.print_exception(error)
        tell(
            text
            or f'{type(error).__name__}: {_text(error)}; this is not expected, please report it with the lines above '
            f'({versions()})',
            everywhere=True,
        )
        return FAILED


def _reader_is_gone() -> bool:
    """Whether nobody reads the output any more, as after ``vlpeft list | head``; the rest of it is dropped then."""
    poll = select.poll()
    # Not a write: what a failed one leaves in Python's buffers differs from case to case.
    poll.register(sys.stdout.fileno(), 0)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def tell(text: str, everywhere: bool = False) -> None:
    """Prints an error, once for all processes of a run that end with the same one.

    Args:
        text: What is wrong.
        everywhere: Whether another process than the first may be the only one that has it, and so says it too
            where processes cannot know of each other. Defaults to False.
    """
    if _is_first_to_say(text):
        print(f'error: {text}', file=sys.stderr, flush=True)
    elif everywhere and shared_folder() is None:
        print(f'error: another process of the run: {text}', file=sys.stderr, flush=True)


def mistake(error: BaseException) -> str | None:
    """What to tell a user of an error: a line, or a list of a line each; None if he cannot have caused it."""
    error = _inner(error)
    text = _text(error)
    if _IN_WORKER in str(error):  # of a loader: torch raises the type again with a text that holds the traceback
        return _of_worker(str(error))
    if _is_ours(type(error)):
        return text
    if type(error).__name__ == 'OutOfMemoryError':
        return f'{text.partition(". ")[0]}: {OUT_OF_MEMORY}'
    if isinstance(error, ModuleNotFoundError) and not (error.name or 'vlpeft').startswith('vlpeft'):
        return f'{text}: install it (pip install {error.name}, or the extras of vlpeft: docs/install.md)'
    if isinstance(error, OSError) and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    if isinstance(error, FileNotFoundError) or _raised_by_us(error.__traceback__):
        return text
    return None


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith('vlpeft.')


def _inner(error: BaseException) -> BaseException:
    """The error that a registry of MMEngine met while it built something; it wraps it in another of the same type."""
    while error.__context__ is not None and _raised_in(error.__traceback__).endswith('build_functions.py'):
        error = error.__context__
    return error


def _raised_in(trace: TracebackType | None) -> str:
    return traceback.extract_tb(trace)[-1].filename if trace else ''


def _raised_by_us(trace: TracebackType | None) -> bool:
    """Whether the last call is one of our code, at a ``raise``: a check that failed, not an expression."""
    if trace is None:
        return False
    last = traceback.extract_tb(trace)[-1]
    return _is_below_us(last.filename) and linecache.getline(last.filename, last.lineno or 0).lstrip().startswith(
        'raise '
    )


def _is_below_us(file: str) -> bool:
    return any(Path(file).resolve().is_relative_to(folder.resolve()) for folder in OURS)


def _of_worker(text: str) -> str | None:
    """What to tell of an error in a loader's worker, by its traceback, of which only the text is left."""
    name, _, said = text.strip().splitlines()[-1].partition(': ')
    calls = _CALL.findall(text)
    refused = calls and _is_below_us(calls[-1][0]) and calls[-1][1].startswith('raise ')
    missing = name in ('FileNotFoundError', 'IsADirectoryError', 'NotADirectoryError', 'PermissionError')
    return said if name.startswith('vlpeft.') or refused or missing else None


def _text(error: BaseException) -> str:
    from .preflight.errors import ConfigError

    if isinstance(error, ConfigError):
        return str(error)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return ' '.join(text.split()) or type(error).__name__


def _is_first_to_say(text: str) -> bool:
    """Whether no other process of the run has said it: told by a file where they share a folder, else by the rank."""
    folder = shared_folder()
    if folder is None:
        return first_process()
    try:
        Path(folder, f'said-{hashlib.sha256(text.encode()).hexdigest()}').touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:  # the folder is gone
        return first_process()
    return True


@contextmanager
def short_parser_errors() -> Iterator[None]:
    """A wrong argument is one line too, without the whole usage."""
    usual = argparse.ArgumentParser.error

    def error(parser: argparse.ArgumentParser, message: str) -> None:
        tell(f'{" ".join(message.split())} (see {parser.prog} --help)')
        raise SystemExit(USAGE)

    argparse.ArgumentParser.error = error
    try:
        yield
    finally:
        argparse.ArgumentParser.error = usual
