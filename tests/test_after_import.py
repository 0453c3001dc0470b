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
assert 'torch' not in [getattr(finder, 'library', None) for finder in sys.meta_path]
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


def test_a_module_in_a_library_and_a_function(tmp_path):
    (tmp_path / 'outer').mkdir()
    (tmp_path / 'outer/__init__.py').write_text('from .inner import KIND')
    (tmp_path / 'outer/inner.py').write_text("KIND = 'plain'")
    (tmp_path / 'needs.py').write_text("def change():\n    import sys\n    sys.modules['outer.inner'].KIND = 'changed'")
    check(f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from vlpeft.after_import import import_with
import_with('outer.inner', 'needs', 'change')
assert 'needs' not in sys.modules
from outer import KIND
assert KIND == 'changed'
sys.modules['outer.inner'].KIND = 'plain'
import_with('outer.inner', 'needs', 'change')
assert sys.modules['outer.inner'].KIND == 'changed'
""")
