"""Methods that read frozen weights, share matrices or have frozen ones of their own, sharded over two processes: the
run of one process, with LoRA+ too.
"""

import pytest
import torch
from mmengine.config import Config

from tests.cached_runs import noted
from tests.sharded_runs import run, run_config, run_on_two
from tests.tiny_epalm import build_perceptual, perceptual_config, write_vocabulary

METHODS = [
    dict(type='EPALM', levels=1, start=0, end=2),
    dict(type='DoRA', rank=2, targets=dict(towers=['lm'], linears=['q', 'fc1'])),
    dict(type='LoRA', rank=2, init='pissa', bias='adapted', targets=dict(towers=['lm'], linears=['v'])),
    dict(type='VeRA', rank=3, targets=dict(towers=['lm'], linears=['k'])),
    dict(type='VeRA', rank=3, save_projection=False, targets=dict(towers=['lm'], linears=['o'])),
    dict(type='Aurora', rank=2, targets=dict(towers=['lm'], linears=['fc2'])),
]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('low_rank')
    vocabulary, base = write_vocabulary(folder / 'opt'), folder / 'base.pth'
    towers = build_perceptual(torch.float32).named_parameters()
    torch.save(dict(state_dict={name: param.detach() for name, param in towers if 'adapter' not in name}), base)
    model = perceptual_config(vocabulary=vocabulary, base_checkpoint=dict(source=str(base)), adapter=METHODS)

    def build(name, batch_size, **options):
        config = run_config(folder, name, batch_size, model, epochs=1, **options)
        config.optim_wrapper.update(optimizer=dict(type='AdamW', lr=2e-3), paramwise_cfg=dict(lora_plus=4))
        return config

    sharded = Config.fromfile('configs/_base_/fsdp.py').strategy
    found = dict(
        one=build('one', 4),
        two=build('two', 2, strategy=dict(sharded, mixed_precision=None)),
        bf16=build('bf16', 2, strategy=dict(sharded)),
    )
    run(found['one'])
    run_on_two([found['two'], found['bf16']])
    return found


def state(config):
    return torch.load(f'{config.work_dir}/epoch_1.pth', weights_only=False)['state_dict']


def test_losses_and_weights_are_those_of_one_process(runs):
    one, two = noted(runs['one']), noted(runs['two'])
    assert len(one['losses']) == 5 and one['losses'][-1] < one['losses'][0]
    assert two['losses'] == pytest.approx(one['losses'], rel=1e-5)
    expected, found = state(runs['one']), state(runs['two'])
    assert found.keys() == expected.keys()
    frozen = [key for key in expected if 'first_' in key or 'projection' in key]
    assert {key.rpartition('.layers.')[0] or key.rpartition('.')[0] for key in frozen} == {
        'adapter.parts.2',
        'adapter.parts.3.projection',
    }
    for key, value in expected.items():
        close = dict(rtol=0, atol=0) if key in frozen else dict(rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found[key], value, **close, msg=lambda text, key=key: f'{key}: {text}')


def test_in_bfloat16_it_stays_near(runs):
    assert noted(runs['bf16'])['losses'] == pytest.approx(noted(runs['one'])['losses'], rel=0.05)
