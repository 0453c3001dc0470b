"""A fully sharded run on two processes, stopped between and within epochs, ends like the uninterrupted one."""

import pytest
import torch
from mmengine.config import Config

from tests.resuming import assert_same, outcome
from tests.sharded_runs import run_config, run_on_two
from tests.tiny_epalm import build_perceptual, perceptual_config, write_vocabulary

COPIES = ('within1', 'epoch1', 'validated1', 'within2')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sharded')
    towers = build_perceptual(torch.float32).named_parameters()
    torch.save(
        dict(state_dict={name: param.detach() for name, param in towers if 'adapter' not in name}), folder / 'base.pth'
    )
    model = perceptual_config(
        vocabulary=write_vocabulary(folder / 'opt'), base_checkpoint=dict(source=str(folder / 'base.pth'))
    )
    strategy = dict(Config.fromfile('configs/_base_/fsdp.py').strategy, mixed_precision=None)

    def build(name, **options):
        return run_config(folder, name, 2, model, strategy=strategy, **options)

    whole = build('whole')
    whole.custom_hooks.append(dict(type='CopyCheckpoints', folder=str(folder)))
    run_on_two([whole])
    resumed = []
    for name in COPIES:
        newest = (folder / name / 'last_checkpoint').read_text()
        resumed.append(build(name, resume=True, load_from=str(folder / name / newest)))
    run_on_two(resumed)
    return folder


@pytest.mark.parametrize('name', COPIES)
def test_resumed_equals_uninterrupted(folder, name):
    expected = outcome(folder / 'whole')
    assert len([name for name in expected if name.startswith('best_')]) == 1
    assert_same(outcome(folder / name), expected, name)
