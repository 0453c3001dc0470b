"""Running the quickstart's scripts in its tests."""

import subprocess
import sys

from tests.commands import ROOT, run_script

TOOLS = ROOT / 'tools/quickstart'


def run_tool(name: str, *args) -> subprocess.CompletedProcess:
    """Run a script of tools/quickstart in this process."""
    return run_script(TOOLS / name, *args)


def run_process(name: str, *args) -> subprocess.CompletedProcess:
    """Run a script of tools/quickstart in a process of its own, which takes some seconds to start."""
    return subprocess.run(
        [sys.executable, str(TOOLS / name), *map(str, args)], capture_output=True, text=True, cwd=ROOT, check=False
    )
