"""The package as users get it: a real sdist, the wheel built from it, installed far from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import vlpeft
from tests.workspace import ROOT
from vlpeft.zoo.model_index import read_zoo

SOURCES = (
    'vlpeft',
    'configs',
    'tools',
    'requirements',
    'requirements.txt',
    'pyproject.toml',
    'setup.py',
    'setup.cfg',
    'MANIFEST.in',
    'README.md',
    'SECURITY.md',
    'LICENSE',
    'model-index.yml',
)
PROBE = """
import json, sys
import vlpeft
from vlpeft.apis.build import load_model_config
from vlpeft.bases import find_base
heavy = [name for name in ('mmpretrain', 'transformers', 'av') if name in sys.modules]
names = vlpeft.list_models()
configs = [load_model_config(name, {})[0] for name in ('uniadapter_blip_msrvtt', 'configs/lora/blip_msrvtt.py')]
print(json.dumps(dict(file=vlpeft.__file__, names=names, heavy=heavy, configs=[c.filename for c in configs],
                      adapters=[c.model.adapter.type for c in configs], base=find_base('blip_tiny').url)))
"""


def run(*command, cwd, **environment):
    """Output of a process that does not know the checkout."""
    environment = {**{key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}, **environment}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """``site``, where the wheel is installed; ``wheel``; ``sdist``; ``vlpeft(…)`` calls the console script in an empty
    folder, ``empty``."""
    folder = tmp_path_factory.mktemp('wheel')
    source, site, empty = folder / 'source', folder / 'site', folder / 'empty'
    for path in (source, empty):
        path.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy(ROOT / name, source / name)
    run(sys.executable, 'setup.py', '-q', 'sdist', '-d', folder, cwd=source)
    (sdist,) = folder.glob('vlpeft-*.tar.gz')
    pip = (sys.executable, '-m', 'pip', '-q')
    run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '--no-index', '-w', folder, sdist, cwd=empty)
    (wheel,) = folder.glob('vlpeft-*.whl')
    run(*pip, 'install', '--no-deps', '--no-index', '--no-compile', '--target', site, wheel, cwd=empty)

    def command(*arguments):
        return run(sys.executable, site / 'bin/vlpeft', *arguments, cwd=empty, PYTHONPATH=str(site))

    return SimpleNamespace(site=site, wheel=wheel, sdist=sdist, empty=empty, vlpeft=command)


def test_nothing_is_left_out(installed):
    files = [path for name in ('configs', 'tools') for path in (ROOT / name).rglob('*')]
    files = {path.relative_to(ROOT).as_posix() for path in files if path.is_file() and '__pycache__' not in path.parts}
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    below = 'vlpeft/.mim/'
    assert {name.removeprefix(below) for name in names if name.startswith(below)} == files | {'model-index.yml'}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'vlpeft').rglob('*.py')}
    assert {name for name in names if name.startswith('vlpeft/') and not name.startswith(below)} == modules
    assert not [name for name in names if name.startswith('tests')]
    with tarfile.open(installed.sdist) as archive:
        packed = {name.partition('/')[2] for name in archive.getnames()}
    assert files | modules | set(SOURCES) <= packed


def test_wheel_carries_the_configs(installed):
    found = json.loads(run(sys.executable, '-c', PROBE, cwd=installed.empty, PYTHONPATH=str(installed.site)))
    assert found['file'] == str(installed.site / 'vlpeft/__init__.py')
    assert all(path.startswith(str(installed.site / 'vlpeft/.mim/configs')) for path in found['configs'])
    assert found['adapters'] == ['UniAdapter', 'LoRA'] and found['heavy'] == []
    assert found['names'] == vlpeft.list_models()
    base = Path(found['base'])
    assert base.is_relative_to(installed.site / 'vlpeft/.mim/configs') and base.is_file()


def test_commands_in_an_empty_folder(installed):
    assert len(installed.vlpeft('list').splitlines()) == len(vlpeft.list_models()) + 1
    assert installed.vlpeft('dist-train', '--help').startswith('usage: vlpeft dist-train')
    (installed.empty / 'mine.py').write_text(installed.vlpeft('show', 'quickstart/uniadapter', '--recipe'))
    counts = json.loads(installed.vlpeft('params', 'mine.py', '--json'))
    recorded = read_zoo()['quickstart_uniadapter'].metadata
    assert (counts['total'], counts['trainable']) == (recorded['Parameters'], recorded['Trainable Parameters'])
