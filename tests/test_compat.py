"""mmpretrain imports with transformers 4.57 and 5 alike, whoever imports it."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.workspace import ROOT
from vlpeft.compat import transformers_major


def test_major_version():
    assert str(transformers_major()) == version('transformers').split('.')[0]


@pytest.mark.parametrize('first', ['mmpretrain', 'vlpeft.models'])
def test_mmpretrain_imports_with_its_vision_backbones(first):
    program = (
        f'import vlpeft, {first}, mmpretrain.models, mmpretrain.datasets, mmpretrain.evaluation; '
        'from mmpretrain.utils.dependency import WITH_MULTIMODAL; '
        'from mmpretrain.models import VisionTransformer; '
        'import vlpeft.models; '
        'from mmpretrain.registry import MODELS; '
        "assert MODELS.get('ModifiedResNet').__module__.startswith('mmpretrain.'); "
        'print(WITH_MULTIMODAL)'
    )
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Its multimodal models are there where they import: with transformers 4.
    assert done.stdout.split()[-1] == str(transformers_major() < 5)
