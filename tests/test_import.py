"""``import vlpeft`` is light, and the package is complete for an installation without the source tree."""

import json
import subprocess
import sys
from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).parents[1]
HEAVY = ('mmpretrain', 'mmcv', 'transformers', 'torchvision', 'decord', 'pycocotools', 'av', 'mmengine.runner')
PROBE = """
import json, sys, time
import torch, mmengine
start = time.perf_counter()
import vlpeft
seconds = time.perf_counter() - start
print(json.dumps(dict(seconds=seconds, modules=sorted(sys.modules), file=vlpeft.__file__)))
"""


def probe():
    result = subprocess.run([sys.executable, '-c', PROBE], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_import_loads_no_heavy_library_and_is_quick():
    runs = [probe() for _ in range(2)]
    assert runs[0]['file'] == str(ROOT / 'vlpeft/__init__.py')
    assert [name for name in HEAVY if name in runs[0]['modules']] == []
    assert min(run['seconds'] for run in runs) < 1.5


def test_every_folder_with_code_is_a_package():
    folders = {path.parent.relative_to(ROOT).as_posix().replace('/', '.') for path in (ROOT / 'vlpeft').rglob('*.py')}
    assert folders == set(find_packages(ROOT, include=['vlpeft', 'vlpeft.*']))
