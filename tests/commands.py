"""Runs the project's scripts in this process, where all that they import has been imported."""

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[1]


def run_script(script: str | Path, *arguments) -> subprocess.CompletedProcess:
    """``python SCRIPT ARGUMENTS`` without a process of its own.

    What a script leaves to the process (generators, its current folder, files it keeps open) stays. Of every script at
    least one test starts a real process.

    Args:
        script: Path below the repository's root.
        *arguments: As on the command line; each is made a text.

    Returns:
        Exit code and what was printed.
    """
    command = [str(ROOT / script), *map(str, arguments)]
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    sys.argv = list(command)
    try:
        # A tool sets LOCAL_RANK, by which others would take this for a process of several.
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch.dict(os.environ):
            runpy.run_path(command[0], run_name='__main__')
    except SystemExit as end:
        return subprocess.CompletedProcess(command, end.code or 0, out.getvalue(), err.getvalue())
    finally:
        sys.argv = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
    raise AssertionError(f'{script} ended without an exit code')
