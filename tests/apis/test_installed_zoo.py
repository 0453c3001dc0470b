"""The zoo of an installed package: a real wheel, unpacked far from the checkout."""

import json
import shutil
import subprocess
import sys
import zipfile

import vlpeft
from tests.workspace import ROOT

SOURCES = (
    'vlpeft',
    'configs',
    'tools',
    'requirements',
    'setup.py',
    'setup.cfg',
    'MANIFEST.in',
    'README.md',
    'LICENSE',
    'model-index.yml',
)
PROBE = """
import json, sys
import vlpeft
from vlpeft.apis.build import load_model_config
heavy = [name for name in ('mmpretrain', 'transformers', 'av') if name in sys.modules]
names = vlpeft.list_models()
configs = [load_model_config(name, {})[0] for name in ('uniadapter_blip_msrvtt', 'configs/lora/blip_msrvtt.py')]
print(json.dumps(dict(file=vlpeft.__file__, names=names, heavy=heavy, configs=[c.filename for c in configs],
                      adapters=[c.model.adapter.type for c in configs])))
"""


def test_wheel_carries_the_configs(tmp_path):
    source, site = tmp_path / 'source', tmp_path / 'site'
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    command = [
        sys.executable,
        '-m',
        'pip',
        'wheel',
        '-q',
        '--no-deps',
        '--no-build-isolation',
        '--no-index',
        '-w',
        str(tmp_path),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob('vlpeft-*.whl')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    done = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path.insert(0, {str(site)!r})\n{PROBE}'],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert found['file'] == str(site / 'vlpeft/__init__.py')
    assert all(path.startswith(str(site / 'vlpeft/.mim/configs')) for path in found['configs'])
    assert found['adapters'] == ['UniAdapter', 'LoRA'] and found['heavy'] == []
    assert found['names'] == vlpeft.list_models()
