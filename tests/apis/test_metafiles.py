"""The check of the metafiles passes on the zoo, and finds each planted fault."""

import shutil
import subprocess
import sys

import pytest
import yaml

from tests.workspace import ROOT
from vlpeft import bases
from vlpeft.zoo import metafiles, model_index
from vlpeft.zoo.metafiles import metafile_faults

META = 'configs/quickstart/metafile.yml'


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A copy of the zoo's index with one folder of configs; returns what changes its metafile's content."""
    for name in ('model-index.yml', 'configs/base_checkpoints.yml', 'docs/quickstart.md'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / 'configs/quickstart', tmp_path / 'configs/quickstart')
    for module in (metafiles, model_index, bases):
        monkeypatch.setattr(module, 'zoo_root', lambda: tmp_path)
    content = yaml.safe_load((tmp_path / META).read_text())

    def write(change):
        change(content)
        (tmp_path / META).write_text(yaml.safe_dump(content, sort_keys=False))
        return metafile_faults()

    return write


def test_the_zoo_has_no_faults():
    done = subprocess.run(
        [sys.executable, 'tools/misc/check_metafiles.py'], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, '') and done.stdout.endswith(' models, no faults\n'), done.stdout


COUNTED = {'Parameters': 5, 'Trainable Parameters': 2, 'Task': 'Retrieval', 'Training Data': 'drawn'}
FIGURES = dict(Task='Retrieval', Dataset='own', Metrics={'R@1': 30.0}, Source='ours')


def first(**changes):
    return lambda content: content['Models'][0].update(changes)


@pytest.mark.parametrize(
    'change, fault',
    [
        (lambda content: content['Models'].append(dict(content['Models'][0])), 'the zoo has another'),
        (lambda content: content['Models'].append(dict(content['Models'][0], Name='twice')), 'listed 2 times'),
        (lambda content: content['Models'].pop(), 'no metafile lists it'),
        (lambda content: content['Models'][0].pop('Metadata'), "no 'Metadata'"),
        (first(Config='configs/quickstart/none.py'), 'there is no config'),
        (first(Base='blip'), "unknown Base 'blip'"),
        (first(Result=[]), "unknown key 'Result'"),
        (first(Metadata=dict(COUNTED, Parameters='many')), "'Parameters' is no whole number"),
        (first(Metadata=dict(COUNTED, Task=['Retrieval'])), "'Task' is no text"),
        (first(**{'In Collection': 'Other'}), "In Collection is 'Other'"),
        (first(Weights='https://example.org/a.pth', Size=3), 'need SHA256'),
        (first(Weights='https://example.org/a.pth', SHA256='0' * 64), 'need SHA256'),
        (first(Results=[{key: FIGURES[key] for key in ('Task', 'Dataset', 'Metrics')}]), 'result 1 has Task, Dataset'),
        (first(Results=[FIGURES, dict(FIGURES, Source='a blog')]), "result 2: Source is 'a blog'"),
        (first(Results=[dict(FIGURES, Metrics={'R@1': 'high'})]), 'Metrics are names with one number each'),
        (lambda content: content['Collections'][0].update(README='docs/none.md'), 'which is no file'),
        (lambda content: content['Collections'].append(dict(Name='Empty', README=META)), "'Empty' has no model"),
    ],
)
def test_each_planted_fault_is_found_alone(zoo, change, fault):
    assert zoo(lambda content: None) == []
    faults = zoo(change)
    assert len(faults) == 1 and fault in faults[0], faults


def test_wrong_hash_of_a_base(zoo, tmp_path):
    with (tmp_path / 'configs/base_checkpoints.yml').open('a') as file:
        file.write('cut_base:\n  Weights: https://example.org/base.pth\n  SHA256: 8f51\n')
    assert zoo(lambda content: None) == ['cut_base: SHA256 has 4 digits, not 64']
