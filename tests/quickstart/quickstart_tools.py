"""Running the quickstart's scripts in its tests."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools/quickstart'


def run_tool(name: str, *args) -> subprocess.CompletedProcess:
    """Run a script of tools/quickstart in a process of its own."""
    return subprocess.run(
        [sys.executable, str(TOOLS / name), *map(str, args)], capture_output=True, text=True, cwd=ROOT, check=False
    )
