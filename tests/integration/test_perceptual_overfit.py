"""Four pictures and four questions of own data, learnt by heart through the training command, however it perceives."""

import json
import subprocess
import sys

import pytest
from mmengine.runner import Runner

from tests.media import write_image
from tests.tiny_epalm import WAYS, perceptual_config, write_vocabulary
from tests.workspace import ROOT
from vlpeft.engine.run_config import RunConfig

ANSWERS = ['red', 'blue', 'a dog', 'no']
STEPS = 200
CONFIG = """
_base_ = [
    '{root}/configs/_base_/datasets/epalm_jsonl_qa.py',
    '{root}/configs/_base_/schedules/epalm_8e.py',
    '{root}/configs/_base_/seq2seq_runtime.py',
]
picture = [dict(type='LoadClip', num_frames=1), dict(type='ClipResize', size=16)]
question = [dict(type='ComposeText', template='{{question}}</a>'), dict(type='PackSample', task='vqa')]
model = {model!r}
optim_wrapper = dict(optimizer=dict(lr=1e-2, weight_decay=0.0), paramwise_cfg=None)
param_scheduler = dict(_delete_=True, type='ConstantLR', factor=1.0, end={steps})
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs={steps}, val_interval={steps})
# All four in each step.
loader = dict(batch_size=4, num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, dataset=dict(pipeline=[*picture, dict(type='DrawTarget'), *question]))
val_dataloader = dict(**loader, dataset=dict(pipeline=[*picture, *question]))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(save_best='open_ended/accuracy', interval={steps}))
work_dir = '{folder}/runs'
"""


@pytest.mark.parametrize('way', ['epalm', 'patches', 'lora'])
def test_four_answers_of_four(tmp_path, way, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'data/own'
    folder.mkdir(parents=True)
    lines = [dict(image=f'{i}.png', question='which is it?', answer=answer, id=i) for i, answer in enumerate(ANSWERS)]
    for i in range(4):
        write_image(folder / f'{i}.png', seed=i)
    for split in ('train', 'test'):
        (folder / f'{split}.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    model = perceptual_config('llama', write_vocabulary(tmp_path / 'vocabulary'), **WAYS.get(way, {}))
    model.update(
        lm_loss_weight=1.0,
        tasks=dict(vqa=dict(loss_on='answer', max_new_tokens=8)),
        trainable=['heads', dict(parts='all', towers=['lm'])],
    )
    config = tmp_path / 'overfit.py'
    config.write_text(CONFIG.format(root=ROOT, model=model, steps=STEPS, folder=tmp_path))
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/train.py', config], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = {}
    for batch in (4, 1):
        cfg = RunConfig.read(config)
        cfg.merge_from_dict(dict(test_dataloader=dict(batch_size=batch), work_dir=str(tmp_path / str(batch))))
        cfg.load_from = str(next((tmp_path / 'runs').glob('best_*.pth')))
        cfg.experiment_name = f'overfit-{way}-{batch}'
        runner = Runner.from_cfg(cfg)
        metrics = runner.test()
        found[batch] = [row['answer'] for row in runner.test_evaluator.metrics[0].predictions]
        assert metrics['open_ended/accuracy'] == 100
    assert found[4] == found[1] == ANSWERS
