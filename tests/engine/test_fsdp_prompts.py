"""Rows before texts and before keys and values, sharded over two processes: the run of one process."""

import pytest
import torch
from mmengine.config import Config

from tests.cached_runs import noted
from tests.engine.test_fsdp_low_rank import state
from tests.sharded_runs import run, run_config, run_on_two
from tests.tiny_epalm import build_perceptual, perceptual_config, write_vocabulary

METHODS = [
    dict(type='EPALM', levels=1, start=0, end=2, prompt_length=0),
    dict(type='PromptTuning', length=2, hidden=5, targets=dict(towers=['lm'])),
    dict(type='PrefixTuning', length=2, targets=dict(towers=['lm'])),
]


def test_losses_and_weights_are_those_of_one_process(tmp_path):
    base = tmp_path / 'base.pth'
    towers = build_perceptual(torch.float32).named_parameters()
    torch.save(dict(state_dict={name: param.detach() for name, param in towers if 'adapter' not in name}), base)
    vocabulary, source = write_vocabulary(tmp_path / 'opt'), dict(source=str(base))
    model = perceptual_config(vocabulary=vocabulary, base_checkpoint=source, adapter=METHODS)
    sharded = dict(Config.fromfile('configs/_base_/fsdp.py').strategy, mixed_precision=None)
    alone = run_config(tmp_path, 'one', 4, model, epochs=1)
    shared = run_config(tmp_path, 'two', 2, model, epochs=1, strategy=sharded)
    run(alone)
    run_on_two([shared])
    losses = noted(alone)['losses']
    assert len(losses) == 5 and losses[-1] < losses[0]
    assert noted(shared)['losses'] == pytest.approx(losses, rel=1e-5)
    expected, found = state(alone), state(shared)
    assert found.keys() == expected.keys()
    assert {'adapter.parts.1.prompts.lm.table', 'adapter.parts.2.prefixes.lm.table'} <= set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f'{key}: {text}')
