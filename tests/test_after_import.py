"""A module that waits for a library is imported right after it, and not before."""

import subprocess
import sys

from tests.workspace import ROOT

PROBE = """
import sys
import vlpeft
from importlib.util import find_spec
assert 'torch' not in sys.modules and 'vlpeft.checkpoint' not in sys.modules
assert find_spec('torch').origin.endswith('__init__.py') and 'vlpeft.checkpoint' not in sys.modules
import {first}
assert 'vlpeft.checkpoint' in sys.modules
import torch
from mmengine.logging import HistoryBuffer
assert HistoryBuffer in torch.serialization.get_safe_globals()
assert not any(type(finder).__module__ == 'vlpeft.after_import' for finder in sys.meta_path)
"""
LATE = "import torch, vlpeft, sys; assert 'vlpeft.checkpoint' in sys.modules"


def check(program):
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_with_the_library():
    for first in ('torch', 'vlpeft.checkpoint.files'):
        check(PROBE.format(first=first))


def test_after_the_library():
    check(LATE)
