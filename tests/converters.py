"""Runs the scripts of tools/dataset_converters in this process."""

import contextlib
import io
import runpy
import sys
from pathlib import Path

CONVERTERS = Path(__file__).parents[1] / 'tools/dataset_converters'


def convert(script: str, *arguments) -> tuple[int, str]:
    """Run a converter as ``python tools/dataset_converters/SCRIPT`` would; returns exit code and what it printed."""
    printed, before = io.StringIO(), sys.argv
    sys.argv = [script, *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(CONVERTERS / script), run_name='__main__')
    except SystemExit as stop:
        return stop.code, printed.getvalue()
    finally:
        sys.argv = before
    raise AssertionError(f'{script} ended without an exit code')
