"""Runs the scripts of tools/dataset_converters in this process."""

import sys

from tests.commands import ROOT, run_script

CONVERTERS = ROOT / 'tools/dataset_converters'


def convert(script: str, *arguments) -> tuple[int, str]:
    """Run a converter as ``python tools/dataset_converters/SCRIPT`` would; returns exit code and what it printed."""
    done = run_script(CONVERTERS / script, *arguments)
    sys.stderr.write(done.stderr)
    return done.returncode, done.stdout
