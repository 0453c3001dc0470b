"""The quickstart's scripts for its tests: importable, runnable, and the data of one run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools/quickstart'
sys.path.append(str(TOOLS))


def run_tool(name: str, *args) -> subprocess.CompletedProcess:
    """Run a script of tools/quickstart in a process of its own."""
    return subprocess.run(
        [sys.executable, str(TOOLS / name), *map(str, args)], capture_output=True, text=True, cwd=ROOT, check=False
    )
