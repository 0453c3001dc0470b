"""An image-text-to-text model on two gloo processes, its weights split, is the one on one: losses, answers, weights."""

import json

import pytest
import torch
from mmengine.config import Config
from torch import nn

from tests import tiny_vlms
from tests.cached_runs import noted
from tests.sharded_runs import run, run_config, run_on_two
from vlpeft.models.tasks import ImageTextLM

STRATEGY = dict(Config.fromfile('configs/_base_/fsdp.py').strategy)
ANSWERS = ('red', 'a blue picture', 'no', 'yes it is')


def loader(folder, batch_size, test_mode):
    pack = dict(type='PackChat', processor=str(folder / 'model'), task='vqa')
    return dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=not test_mode, round_up=not test_mode),
        collate_fn=dict(type='vlpeft.collate_chat'),
        dataset=dict(
            type='JSONLChat', ann_file='chat.jsonl', data_root=str(folder), test_mode=test_mode, pipeline=[pack]
        ),
    )


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sharded-chat')
    tiny_vlms.build('llava').save_pretrained(folder / 'model')
    tiny_vlms.processor('llava', folder / 'model')
    records = []
    for number, answer in enumerate(ANSWERS):
        tiny_vlms.picture(number).save(folder / f'{number}.png')
        said = [dict(role='user', content='<image>what is it ?'), dict(role='assistant', content=answer)]
        records.append(dict(messages=said, images=[f'{number}.png']))
    (folder / 'chat.jsonl').write_text('\n'.join(map(json.dumps, records)))
    model = dict(
        type='ImageTextLM',
        model=tiny_vlms.config('llava'),
        processor=str(folder / 'model'),
        tasks=dict(vqa=dict(max_new_tokens=4)),
        dtype='float32',
        base_checkpoint=dict(source=str(folder / 'model')),
        adapter=dict(type='LoRA', rank=4, targets={}),
        trainable=['connectors'],
    )

    def build(name, batch_size, **options):
        loaders = dict(train_dataloader=loader(folder, batch_size, False), val_dataloader=loader(folder, 1, True))
        return run_config(folder, name, batch_size, model, epochs=2, **loaders, **options)

    found = dict(
        one=build('one', 4),
        two=build('two', 2, strategy=dict(STRATEGY, mixed_precision=None, gradient_checkpointing=['lm'])),
        bf16=build('bf16', 2, strategy=STRATEGY),
    )
    run(found['one'])
    run_on_two([found['two'], found['bf16']])
    return found


def saved(config):
    return torch.load(f'{config.work_dir}/epoch_2.pth', weights_only=False)


def test_losses_and_answers_are_those_of_one_process(runs):
    one, two = noted(runs['one']), noted(runs['two'])
    # The mean is over the tokens of both processes, whose answers differ in length.
    assert two['losses'] == pytest.approx(one['losses'], rel=1e-4) and one['losses'][-1] < one['losses'][0]
    assert two['norms'] == pytest.approx(one['norms'], rel=1e-3)
    assert two['answers'] == one['answers'] and len(two['answers']) == len(ANSWERS)


def test_checkpoints_hold_the_same_whole_tensors(runs):
    one, two = saved(runs['one']), saved(runs['two'])
    assert set(two['state_dict']) == set(one['state_dict']) and two['meta']['base'] == one['meta']['base']
    assert any(key.startswith('vlm.model.multi_modal_projector.') for key in one['state_dict'])
    for key, value in one['state_dict'].items():
        torch.testing.assert_close(two['state_dict'][key], value, rtol=1e-3, atol=1e-3, msg=key)


def test_it_runs_in_mixed_precision(runs):
    one, two = noted(runs['one']), noted(runs['bf16'])
    assert two['losses'] == pytest.approx(one['losses'], rel=0.1)


@pytest.mark.parametrize('name', [name for name in tiny_vlms.FAMILIES if name != 'aya_vision'])
def test_units_are_the_blocks_that_transformers_does_not_split(name):
    with torch.device('meta'):
        model = ImageTextLM(model=tiny_vlms.config(name), processor='nowhere', tasks={})
    blocks = {id(block) for tower in model.towers.values() for block in tower.block_modules}
    named = {kind for part in model.vlm.modules() for kind in getattr(part, '_no_split_modules', None) or ()}
    lists = [part for part in model.vlm.modules() if isinstance(part, nn.ModuleList)]
    unsplit = {id(block) for part in lists for block in part if type(block).__name__ in named}
    assert unsplit <= blocks and unsplit
