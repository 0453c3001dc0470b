"""Names that a config sets in vain, each with the line that sets it."""

import pytest

from tests.workspace import ROOT, write_workspace
from tools.test import main
from vlpeft.engine.config_file import read_config
from vlpeft.engine.messages import run_main
from vlpeft.engine.preflight.idle_names import idle_names

BASE = """
num_frames = 8
folder = 'data/'
pipeline = [dict(type='LoadClip', num_frames=num_frames)]
train_dataloader = dict(batch_size=2, dataset=dict(type='JSONLRetrieval', data_root=folder, pipeline=pipeline))
"""


def told(folder, text):
    (folder / 'base.py').write_text(BASE)
    (folder / 'mine.py').write_text("_base_ = './base.py'\n" + text)
    return dict(idle_names(read_config(folder / 'mine.py')))


@pytest.mark.parametrize(
    'text',
    [
        'train_dataloader = dict(batch_size=4)',
        'size = 3\ntrain_dataloader = dict(batch_size=size)',
        "folder = 'other/'\ntrain_dataloader = dict(dataset=dict(data_root=folder))",
        '_note = "tried on Monday"',
        'train_dataloader = dict(batch_size={{_base_.num_frames}})',
        'default_scope = "vlpeft"\nrandomness = dict(seed=1)\nauto_scale_lr = dict(enable=True)\ncompile = True',
        'custom_imports = dict(imports=["json"])',
        'size = 4\ndef double(n=size):\n    return 2 * n\ntrain_dataloader = dict(batch_size=double())\ndel double',
    ],
)
def test_what_is_read_is_left_in_peace(tmp_path, text):
    assert told(tmp_path, text) == {}


def test_a_variable_of_a_base_comes_too_late(tmp_path):
    found = told(tmp_path, 'num_frames = 4')
    assert list(found) == ['num_frames']
    assert 'line 2 sets a variable of a base' in found['num_frames']
    assert 'train_dataloader.dataset.pipeline.0.num_frames' in found['num_frames']


def test_a_slip_is_told_with_the_nearest_name(tmp_path):
    found = told(tmp_path, 'x = 1\ntrain_dataloadr = dict(batch_size=x)')
    assert found == {'train_dataloadr': 'line 3 sets it, and nothing reads it; did you mean train_dataloader?'}


def test_the_variable_of_a_base_of_a_base(tmp_path):
    (tmp_path / 'between.py').write_text("_base_ = ['./base.py']\n")
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'mine.py').write_text("_base_ = './between.py'\nfolder: str = 'mine/'\n")
    assert 'variable of a base' in dict(idle_names(read_config(tmp_path / 'mine.py')))['folder']


@pytest.mark.parametrize(
    'recipe', ['own_data/retrieval_uniadapter_blip-base', 'vl_pet/vlpet-large_bart-base_image', 'quickstart/uniadapter']
)
def test_a_config_that_was_printed_whole_runs(tmp_path, recipe):
    text = read_config(ROOT / f'configs/{recipe}.py').pretty_text
    mine = tmp_path / 'mine.py'
    mine.write_text(text)
    assert 'train_pipeline' in text or '_pipeline' in text
    assert dict(idle_names(read_config(mine))) == {}
    mine.write_text(text.replace('train_dataloader = ', 'train_dataloadr = '))
    assert list(dict(idle_names(read_config(mine)))) == ['train_dataloadr']


def test_a_run_refuses_them(tmp_path, capsys, monkeypatch):
    config = write_workspace(tmp_path / 'work')
    (tmp_path / 'mine.py').write_text(f'_base_ = [{str(config)!r}]\nimage_size = 32\npaking = True\n')
    monkeypatch.chdir(tmp_path)
    assert run_main(lambda: main([str(tmp_path / 'mine.py'), 'none', '--work-dir', str(tmp_path / 'out')])) == 1
    error = capsys.readouterr().err
    assert 'paking: line 3 sets it, and nothing reads it; did you mean packing?' in error
    assert 'image_size: line 2' in error
