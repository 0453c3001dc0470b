"""Recipes of dual encoders at tiny geometry: they train and test, and can learn a small set by heart."""

import json
import math

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from tests.commands import run_script
from tests.siglip import LENGTH, VOCABULARY, shrink_siglip_model, write_siglip_vocabulary
from tests.tiny import SIZE
from tests.workspace import COLOURS, ROOT, write_clips
from vlpeft.engine.run_config import RunConfig

EPOCHS, RATES = dict(image=600, video=300), dict(lora=1e-2, uniadapter=2e-2)
RECIPES = sorted(path.name for path in (ROOT / 'configs/vlm').glob('siglip2-*.py'))
SHAPE = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
VISION = dict(SHAPE, image_size=32, patch_size=8)
TEXT = dict(SHAPE, vocab_size=len(VOCABULARY), max_position_embeddings=LENGTH, projection_size=32)


def write_random_base(folder):
    """A SigLIP that has learned nothing, as transformers saves it."""
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION))
    with torch.no_grad():  # scale and bias as SigLIP's training began, inputs that outweigh their positions
        model.logit_scale.fill_(math.log(10))
        model.logit_bias.fill_(-10)
        model.vision_model.embeddings.patch_embedding.weight.mul_(5)
        model.text_model.embeddings.token_embedding.weight.mul_(5)
    model.save_pretrained(folder)
    return str(folder / 'model.safetensors')


def write_pictures(folder, count=6):
    """Pictures of a coloured square at one of two heights, a caption each."""
    lines = []
    for i in range(count):
        colour, side = list(COLOURS)[i % 3], ('up', 'down')[i // 3]
        image = np.full((32, 32, 3), 200, np.uint8)
        image[(4 if side == 'up' else 20) :][:8, 12:20] = COLOURS[colour]
        Image.fromarray(image).save(folder / f'{i}.png')
        lines.append(json.dumps(dict(image=f'{i}.png', caption=f'the {colour} square {side}')))
    for split in ('train', 'test'):
        (folder / f'{split}.jsonl').write_text('\n'.join(lines) + '\n')


def point_to(loader, root, is_test):
    """A recipe's loader on the clips of a folder, in the size of the tiny tower."""
    pipeline = loader.dataset.pipeline
    for step in pipeline:
        if 'size' in step:
            step.size = SIZE
        if step.type == 'LoadClip':
            step.num_frames = min(step.num_frames, 2)
    ann_file = 'test.jsonl' if is_test else 'train.jsonl'
    loader.dataset = dict(
        type='JSONLRetrieval', data_root=str(root), ann_file=ann_file, pipeline=pipeline, test_mode=is_test
    )
    loader.update(batch_size=4, num_workers=0, persistent_workers=False, pin_memory=False)


def test_there_are_both_methods_on_both_sets():
    assert RECIPES == [
        f'siglip2-b_{method}_{data}.py' for method in ('lora', 'uniadapter') for data in ('coco', 'msrvtt')
    ]


@pytest.mark.parametrize('recipe', RECIPES)
def test_trains_validates_and_tests(tmp_path, recipe, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (write_pictures if 'coco' in recipe else write_clips)(tmp_path)
    cfg = RunConfig.read(ROOT / 'configs/vlm' / recipe)
    shrink_siglip_model(cfg.model, tmp_path)
    for name in ('train', 'val', 'test'):
        point_to(cfg[f'{name}_dataloader'], tmp_path, name != 'train')
    if cfg.test_cfg.get('folds'):
        cfg.test_cfg.folds = 2
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = cfg.experiment_name = str(tmp_path / 'run')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.model.base['name'] == 'model.safetensors' and runner.model.filled
    metrics = runner.test()
    assert all(value == value for value in metrics.values()) and 0 <= metrics['retrieval/mean_R@1'] <= 100
    assert ('retrieval/2fold_t2v_R@1' in metrics) == ('coco' in recipe)


@pytest.mark.parametrize('kind, method', [('image', 'uniadapter'), ('video', 'lora')])
def test_learns_a_small_set_by_heart_from_the_command_line(tmp_path, kind, method):
    """Two blocks of random weights, and a method on them: every caption finds its clip, every clip its caption."""
    (write_pictures if kind == 'image' else write_clips)(tmp_path)
    epochs = EPOCHS[kind]
    pipeline = [
        dict(type='LoadClip', num_frames=1 if kind == 'image' else 3, sampling='middle'),
        dict(type='ClipResize', size=32),
        dict(type='CleanText', max_words=30),
        dict(type='PackSample'),
    ]
    loader = dict(batch_size=6 if kind == 'image' else 10, num_workers=0, persistent_workers=False, pin_memory=False)
    data = dict(_delete_=True, type='JSONLRetrieval', data_root=str(tmp_path), pipeline=pipeline)
    settings = dict(
        model=dict(
            vision=dict(config=VISION),
            text=dict(config=TEXT),
            vocabulary=write_siglip_vocabulary(tmp_path / 'vocabulary'),
            max_text_length=LENGTH,
            adapter=dict(scale=1.0) if method == 'uniadapter' else {},  # of a width at which 0.1 is slow
            base_checkpoint=dict(source=write_random_base(tmp_path / 'siglip')),
        ),
        train_dataloader=dict(loader, dataset=dict(data, ann_file='train.jsonl')),
        train_cfg=dict(max_epochs=epochs, val_interval=epochs),
        optim_wrapper=dict(optimizer=dict(lr=RATES[method])),
        param_scheduler=dict(T_max=epochs, end=epochs),
        default_hooks=dict(checkpoint=dict(interval=epochs)),
    )
    for name in ('val', 'test'):
        settings[f'{name}_dataloader'] = dict(loader, dataset=dict(data, ann_file='test.jsonl', test_mode=True))
    base = ROOT / f'configs/vlm/siglip2-b_{method}_msrvtt.py'
    lines = [f'_base_ = [{str(base)!r}]', *(f'{name} = {value!r}' for name, value in settings.items())]
    config = tmp_path / 'config.py'
    config.write_text('\n'.join(lines) + '\n')
    done = run_script('tools/train.py', config, '--work-dir', tmp_path / 'run')
    assert done.returncode == 0, done.stderr
    out = tmp_path / 'out.json'
    done = run_script(
        'tools/test.py', config, tmp_path / f'run/epoch_{epochs}.pth', '--out', out, '--work-dir', tmp_path / 'test'
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads(out.read_text())['metrics']
    assert (metrics['retrieval/t2v_R@1'], metrics['retrieval/v2t_R@1']) == (100, 100)
