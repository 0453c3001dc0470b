"""Four pictures, four questions, a tiny model of random weights: after tools/train.py all its answers are right.

The questions are alike in pairs, so that a right answer is one that looks at the picture.
"""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from tests import tiny_vlms
from tests.commands import run_script
from vlpeft.checkpoint import Checkpoint

DEFAULT = ('llava', 'qwen2_5_vl')
FAMILIES = (
    *DEFAULT,
    'llava_next',
    'llava_onevision',
    'qwen2_vl',
    'qwen3_vl',
    'idefics3',
    'smolvlm',
    'paligemma',
    'gemma3',
    'internvl',
    'mistral3',
    'glm4v',
    'ovis2',
    'blip2_opt',
    'blip2_t5',
    'florence2',
)
COLOURS = dict(red=(230, 20, 30), green=(20, 200, 40), blue=(20, 40, 220), yellow=(230, 220, 20))
QUESTIONS = ('what colour is the image ?', 'what colour is it ?')
STEPS = 100
#: Tables that are no parameters, which checkpoints keep.
BUFFERS = {'vlm.model.multi_modal_projector.visual_temporal_embed.pos_idx_to_embed'}


def write_data(folder: Path) -> None:
    """Four pictures and their questions."""
    records = []
    for number, (name, colour) in enumerate(COLOURS.items()):
        Image.new('RGB', (tiny_vlms.SIDE, tiny_vlms.SIDE), colour).save(folder / f'{name}.png')
        question = QUESTIONS[number // 2]
        said = [
            dict(role='user', content=[dict(type='image'), dict(type='text', text=question)]),
            dict(role='assistant', content=[dict(type='text', text=name)]),
        ]
        records.append(dict(id=number, messages=said, images=[f'{name}.png']))
    (folder / 'chat.jsonl').write_text('\n'.join(map(json.dumps, records)))


def loader(folder: Path, name: str, batch_size: int, test_mode: bool) -> dict:
    family = tiny_vlms.FAMILIES[name]
    pack = dict(type='PackChat', processor=str(folder / 'model'), task='vqa', encoder_decoder=family.encoder_decoder)
    if family.style is None:
        pack['prompt'] = family.prompt
    return dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False) if test_mode else dict(type='InfiniteSampler'),
        collate_fn=dict(type='vlpeft.collate_chat'),
        dataset=dict(
            type='JSONLChat',
            ann_file='chat.jsonl',
            data_root=str(folder),
            test_mode=test_mode,
            pipeline=[pack],
        ),
    )


def write_config(folder: Path, name: str) -> Path:
    model = dict(
        type='ImageTextLM',
        model=tiny_vlms.config(name),
        processor=str(folder / 'model'),
        tasks=dict(vqa=dict(max_new_tokens=6)),
        dtype='float32',
        base_checkpoint=dict(source=str(folder / 'model')),
        adapter=dict(type='LoRA', rank=8, targets={}),
        trainable=['norms'],
    )
    config = dict(
        _base_=str(Path('configs/_base_/default_runtime.py').resolve()),
        model=model,
        train_dataloader=loader(folder, name, 4, False),
        val_dataloader=loader(folder, name, 4, True),
        test_dataloader=loader(folder, name, 4, True),
        val_evaluator=dict(type='OpenEndedMetric'),
        test_evaluator=dict(type='OpenEndedMetric'),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=STEPS, val_interval=STEPS),
        val_cfg=dict(type='ValLoop'),
        test_cfg=dict(type='TestLoop'),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.0),
            clip_grad=dict(max_norm=1.0),
            constructor='TrainableOptimWrapperConstructor',
        ),
        param_scheduler=[dict(type='LinearLR', start_factor=1.0, end_factor=0.05, end=STEPS, by_epoch=False)],
        default_hooks=dict(
            logger=dict(interval=100), checkpoint=dict(interval=STEPS, by_epoch=False, save_best=None, max_keep_ckpts=1)
        ),
        log_processor=dict(by_epoch=False),
        custom_hooks=[dict(type='PredictionsHook')],
        work_dir=str(folder / 'work'),
    )
    path = folder / 'config.py'
    Config(config).dump(path)
    path.write_text(path.read_text())
    return path


def answers(folder: Path, pattern: str) -> dict:
    (path,) = (folder / 'work').glob(f'**/predictions/{pattern}')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row['question_id']: row['prediction'] for row in rows}


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=() if name in DEFAULT else pytest.mark.slow) for name in FAMILIES]
)
def test_all_answers_are_right_after_training(name, tmp_path):
    write_data(tmp_path)
    tiny_vlms.build(name).save_pretrained(tmp_path / 'model')
    tiny_vlms.processor(name, tmp_path / 'model')
    config = write_config(tmp_path, name)
    done = run_script('tools/train.py', config)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = dict(enumerate(COLOURS))
    assert answers(tmp_path, 'val_*.jsonl') == expected
    (checkpoint,) = (tmp_path / 'work').glob('iter_*.pth')
    kept = Checkpoint.read(checkpoint)
    assert kept.meta['base']['name'] == 'model'
    # Of the base the norms alone, which trained: vectors, whatever a family calls them.
    matrices = {key for key, value in kept.weights.items() if key.startswith('vlm.') and value.ndim > 1}
    assert matrices <= BUFFERS
    done = run_script('tools/test.py', config, checkpoint, '--cfg-options', 'test_dataloader.batch_size=1')
    assert done.returncode == 0, done.stdout + done.stderr
    assert answers(tmp_path, 'test.jsonl') == expected


def test_a_processor_of_another_model_is_told_at_once(tmp_path):
    """Its token 100 is a word, and the model takes it for images; nothing is read of the base, which is none."""
    write_data(tmp_path)
    tiny_vlms.processor('llava', tmp_path / 'model')
    (tmp_path / 'model/model.safetensors').write_bytes(b'no weights')
    config = write_config(tmp_path, 'llava')
    done = run_script('tools/train.py', config, '--cfg-options', 'model.model.image_token_index=100')
    assert done.returncode != 0
    assert 'is not that of this llava: token 100, which stands for an image there, is' in done.stderr
    assert 'Traceback' not in done.stderr
