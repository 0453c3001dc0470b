"""Every eP-ALM recipe at tiny geometry, on the files that the configs name: train, validate, test."""

import json
import math

import pytest
import torch
from mmengine.runner import Runner

from tests.datasets.epalm_files import write_tree
from tests.recipe_samples import missed, some_of
from tests.small_methods import shrink_methods
from tests.sounds import sine, write_sound
from tests.tiny_epalm import LAYERS, LMS, VISION, VOCAB, build_perceptual, write_vocabulary
from tests.workspace import ROOT
from vlpeft.engine.run_config import RunConfig
from vlpeft.registry import MODELS

RECIPES = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for pattern in ('epalm/*.py', 'vl_pet/*_opt-*.py', 'baselines/opt-*.py', 'baselines/smollm2-*.py')
    for path in (ROOT / 'configs').glob(pattern)
)
# By default every method, encoder, task, kind of data and release is there once; what is left out are other pairs.
SAMPLE = [
    *(f'epalm/epalm-{name}_opt-2.7b_vit-b_vqav2.py' for name in ('adapters', 'linear', 'one-token', 'prompt')),
    'epalm/epalm-ptl_opt-6.7b_ast_audiocaps_released.py',
    'epalm/epalm-ptl_opt-6.7b_timesformer_msvd-qa_released.py',
    'epalm/epalm-ptl_opt-6.7b_vit-l_vqav2_fsdp.py',
    'epalm/epalm_opt-2.7b_timesformer_msrvtt-caption.py',
    'epalm/epalm_opt-2.7b_timesformer_msrvtt-qa.py',
    *(
        f'epalm/epalm_opt-2.7b_vit-b_{name}.py'
        for name in ('coco-caption_released', 'gqa-to-vqav2', 'nocaps', 'vqav2_cached', 'vqav2_few-shot-10pct')
    ),
    *(f'baselines/opt-2.7b_vit-b_vqav2_{name}.py' for name in ('lora', 'prefix', 'prompt')),
    'epalm/epalm_smollm2-135m_vit-b_vqav2.py',
    'baselines/smollm2-135m_vit-b_vqav2_connector.py',
    'baselines/smollm2-135m_vit-b_vqav2_connector-lora.py',
    'vl_pet/vlpet-large_opt-2.7b_vqav2.py',
]
SMALL = dict(embed_dims=VISION, num_layers=6, num_heads=2)
ENCODERS = {
    'mmpretrain.VisionTransformer': dict(arch=dict(SMALL, feedforward_channels=24), img_size=16, patch_size=8),
    'TimeSformer': dict(width=VISION, depth=6, heads=2, img_size=16, patch_size=8),
    'AST': dict(arch=dict(SMALL, feedforward_channels=24), num_frames=128),
}


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    root = write_tree(tmp_path_factory.mktemp('epalm'))
    for split in ('train', 'val', 'test'):
        folder = root / 'data/audiocaps/audios' / split
        folder.mkdir(parents=True)
        clips = [dict(audio=f'{split}/{i}.wav', caption=['a tone', 'a beep']) for i in range(2)]
        for i in range(len(clips)):
            write_sound(folder / f'{i}.wav', sine(200.0 * (i + 1)))
        path = root / f'data/audiocaps/annotation/audiocaps_caption_{split}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(clips))
    write_vocabulary(root / 'vocabulary')
    for kind in ('opt', 'llama'):
        lm = build_perceptual(torch.float32, lm=kind).lm
        torch.save({key: value.detach() for key, value in lm.named_parameters()}, root / f'{kind}.bin')
    return root


def small_config(workspace, work_dir, recipe, options=()):
    cfg = RunConfig.read(ROOT / 'configs' / recipe)
    model, kind = cfg.model, cfg.model.lm.model_type
    model.encoder.update(ENCODERS[model.encoder.type])
    # The base of the language model is read, the encoders' layouts have tests of their own.
    encoder = MODELS.build(dict(model.encoder))
    torch.save({f'encoder.{key}': value for key, value in encoder.state_dict().items()}, work_dir / 'encoder.pth')
    model.lm = LMS[kind]
    model.update(
        vocab_size=VOCAB,
        vocabulary=str(workspace / 'vocabulary'),
        base_checkpoint=dict(
            lm=dict(source=str(workspace / f'{kind}.bin')), encoder=dict(source=str(work_dir / 'encoder.pth'))
        ),
    )
    for task in model.tasks.values():
        task.max_new_tokens = 4
    for adapter in model.adapter if isinstance(model.adapter, list) else [model.adapter or {}]:
        if adapter.get('levels'):
            adapter.update(start=1, end=LAYERS - 1)
    if model.get('connector', {}).get('hidden'):
        model.connector.hidden = 10
    shrink_methods(model.adapter)
    shrink_data(cfg)
    if 'dtype' in cfg.optim_wrapper:
        # CPUs have no float16 to train in.
        cfg.optim_wrapper.dtype = model.lm_dtype = 'bfloat16'
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = cfg.experiment_name = str(work_dir)
    cfg.merge_from_dict(dict(options))
    return cfg


def make_runner(workspace, work_dir, recipe, options=()):
    return Runner.from_cfg(small_config(workspace, work_dir, recipe, options))


def shrink_data(cfg):
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False, pin_memory=False, batch_size=2)
        if loader.dataset.get('fraction'):
            loader.dataset.fraction = 0.5
        for step in loader.dataset.pipeline:
            if 'size' in step:
                step.size = 16
            if step.type == 'LoadClip':
                step.num_frames = min(step.num_frames, 3)
            if step.type == 'Fbank':
                step.length = 128
    for evaluators in (cfg.val_evaluator, cfg.test_evaluator):
        for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
            if evaluator.type == 'CaptionMetric':
                evaluator.tokenizer = 'python'


RELEASED = [recipe for recipe in RECIPES if recipe.endswith('_released.py')]


def test_every_task_is_there_as_released_in_both_sizes():
    tasks = (
        'vit-{}_vqav2',
        'vit-{}_gqa',
        'vit-{}_coco-caption',
        'timesformer_msrvtt-qa',
        'timesformer_msvd-qa',
        'timesformer_msrvtt-caption',
        'ast_audiocaps',
    )
    sizes = dict(b='epalm_opt-2.7b', l='epalm-ptl_opt-6.7b')
    assert set(RELEASED) == {
        f'epalm/{size}_{task.format(letter)}_released.py' for letter, size in sizes.items() for task in tasks
    }


@pytest.mark.parametrize('recipe', RELEASED)
def test_released_recipes_have_the_release_s_ways(recipe):
    cfg = RunConfig.read(ROOT / 'configs' / recipe)
    model = cfg.model
    assert (model.visual_row, model.padding, model.released_dropout, model.lm_dtype) == (
        'full',
        'right',
        True,
        'float16',
    )
    for task in model.tasks.values():
        assert task.count_prompt and task.beam_rule == 'released'
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.dtype) == ('MixedPrecisionOptimWrapper', 'float16')
    assert cfg.val_cfg.fp16 and cfg.test_cfg.fp16
    large, captions = 'ptl' in recipe, 'caption' in recipe or 'audiocaps' in recipe
    keys = cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert set(keys) == ({'weight', 'table', 'bias'} if captions else {'prompt'})
    assert captions or keys.prompt == dict(lr_mult=5 if large else 0.5, scheduled=False)
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=2e-4 if large else 2e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.02
    )
    schedule = cfg.param_scheduler
    assert (schedule.warmup_lr, schedule.min_lr) == ((1e-4, 1e-5) if large else (1e-5, 1e-6))
    video = 'timesformer' in recipe
    epochs = 26 if video else 30 if 'ast' in recipe else 35 if large else 8
    assert schedule.end == cfg.train_cfg.max_epochs == epochs
    assert model.encoder.type != 'TimeSformer' or model.encoder.num_frames == (16 if captions else 8)
    if video:
        model.lm, model.vocab_size, model.base_checkpoint = LMS['opt'], VOCAB, None
        model.adapter.update(start=1, end=LAYERS - 1)
        model.encoder.update(ENCODERS['TimeSformer'])
        built = MODELS.build(model).train()
        rates = [layer.attn.out_drop.drop_prob for layer in built.encoder.layers]
        assert rates == pytest.approx([0.1 * depth / 5 for depth in range(6)]) and built.encoder.layers[5].training


def test_the_sample_stands_for_all():
    assert missed(RECIPES, SAMPLE) == set()


@some_of(RECIPES, SAMPLE)
def test_trains_validates_and_tests(workspace, tmp_path, recipe, monkeypatch):
    monkeypatch.chdir(workspace)
    runner = make_runner(workspace, tmp_path, recipe)
    before = {name: param.detach().clone() for name, param in runner.model.named_parameters()}
    runner.train()
    moved = {name for name, param in runner.model.named_parameters() if not param.equal(before[name])}
    assert runner.iter and moved == runner.model.declared
    metrics = runner.test()
    assert metrics and all(isinstance(value, str) or math.isfinite(value) for value in metrics.values())


def test_without_a_base_the_frozen_encoder_is_saved(workspace, tmp_path, monkeypatch):
    """It is neither trained nor brought back by a base, and another seed draws another one."""
    monkeypatch.chdir(workspace)
    recipe, alone = 'epalm/epalm_opt-2.7b_vit-b_gqa.py', {'model.trainable': 'all', 'model.base_checkpoint': None}
    runner = make_runner(workspace, tmp_path, recipe, alone)
    runner.train()
    model = runner.model
    assert not any(name.startswith('encoder.') for name in model.declared) and model.frozen_keys() == set()
    saved = next(tmp_path.glob('epoch_*.pth'))
    other = make_runner(workspace, tmp_path, recipe, dict(alone, load_from=str(saved), **{'randomness.seed': 7}))
    assert not other.model.encoder.layers[0].attn.qkv.weight.equal(model.encoder.layers[0].attn.qkv.weight)
    other.load_or_resume()
    for name, param in model.named_parameters():
        assert other.model.get_parameter(name).equal(param), name
