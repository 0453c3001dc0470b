"""Every VL-PET recipe and its baselines at tiny geometry, on the files that the configs name: train, validate, test."""

import json
import math

import pytest
import torch
from mmengine.runner import Runner

from tests.commands import run_script
from tests.recipe_samples import missed, some_of
from tests.tiny_vl import VOCAB
from tests.vl_workspace import shrink_vl_model, write_vl_workspace
from tests.workspace import ROOT
from vlpeft.checkpoint.scheme import SCHEME
from vlpeft.engine.run_config import RunConfig

RECIPES = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for folder in ('vl_pet', 'bottleneck', 'baselines')
    for path in (ROOT / 'configs' / folder).rglob('*base_*.py')
    if 'blip' not in path.name and 'opt' not in path.name
)
# By default every method, granularity, language model, task, kind of data and release is there once; what is left out
# are other pairs of them, and vlpet-large_bart-base_image and vlpet-small_t5-base_image, which are trained below.
SAMPLE = [
    'baselines/bart-base_image_compacter.py',
    'baselines/bart-base_image_dora.py',
    'baselines/bart-base_image_full.py',
    'baselines/bart-base_image_hyperformer.py',
    'baselines/bart-base_video_bitfit.py',
    'baselines/t5-base_image_lora.py',
    'baselines/t5-base_image_lst.py',
    'baselines/t5-base_image_prompt.py',
    'bottleneck/vl-adapter_bart-base_video.py',
    'vl_pet/transfer/vl-adapter-small_bart-base_image.py',
    *(
        f'vl_pet/vlpet-large_bart-base_{name}.py'
        for name in ('coco-caption', 'gqa', 'how2qa', 'nlvr2', 'tvc', 'tvqa', 'yc2c', 'vqa_online', 'video_released')
    ),
    'vl_pet/vlpet-middlex_t5-base_image.py',
    'vl_pet/vlpet-middley_bart-base_image.py',
    'vl_pet/vlpet-small_bart-base_video.py',
]
STEPS = 2
# METEOR starts a Java program, which takes seconds.
WITH_JAVA = 'vl_pet/vlpet-large_bart-base_coco-caption.py'


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    return write_vl_workspace(tmp_path_factory.mktemp('vl'))


def loaders(cfg):
    """The loader configs of a phase, by task if there are several."""
    return [cfg] if 'dataset' in cfg else list(cfg.values())


def small_config(workspace, work_dir, recipe, options=()):
    cfg = RunConfig.read(ROOT / 'configs' / recipe)
    shrink_vl_model(cfg.model, workspace)
    single = dict(num_workers=0, persistent_workers=False, pin_memory=False)
    for loader in [cfg.train_dataloader, *loaders(cfg.val_dataloader), *loaders(cfg.test_dataloader)]:
        loader.update(single, batch_size=4)
        if 'batch_sampler' in loader:
            loader.batch_sampler.batch_sizes = {}
        if cfg.model.get('vision'):
            loader.dataset.pipeline[0].size = cfg.model.vision.img_size
    for phase in (cfg.val_evaluator, cfg.test_evaluator):
        metrics = [phase] if isinstance(phase, list) or 'type' in phase else phase.values()
        for evaluator in (metric for group in metrics for metric in (group if isinstance(group, list) else [group])):
            if 'out_file' in evaluator:
                evaluator.out_file = str(work_dir / evaluator.out_file)
            if evaluator.type == 'CaptionMetric' and recipe != WITH_JAVA:
                evaluator.tokenizer = 'python'
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = cfg.experiment_name = str(work_dir)
    cfg.merge_from_dict(dict(options))
    return cfg


def make_runner(workspace, work_dir, recipe, options=()):
    return Runner.from_cfg(small_config(workspace, work_dir, recipe, options))


def test_there_are_recipes_for_every_task_and_variant():
    # VL-PET's variants, released ones, single tasks and transfer; VL-Adapter; baselines on BART and T5.
    assert len(RECIPES) == 12 + 2 + 9 + 8 + 3 + 17


def test_the_sample_stands_for_all():
    assert missed(RECIPES, SAMPLE) == set()
    assert missed(RECIPES, SAMPLE[:-3]) >= {'middlex', 'middley'}


@some_of(RECIPES, SAMPLE)
def test_trains_validates_and_tests(workspace, tmp_path, recipe, monkeypatch):
    monkeypatch.chdir(workspace)
    runner = make_runner(workspace, tmp_path, recipe)
    before = {name: param.detach().clone() for name, param in runner.model.named_parameters()}
    runner.train()
    assert runner.iter >= STEPS
    moved = {name for name, param in runner.model.named_parameters() if not param.equal(before[name])}
    # The boxes are zero, so their weight has no gradient, but it is decayed.
    assert moved <= runner.model.declared and len(moved) > len(runner.model.declared) // 2
    metrics = runner.test()
    figures = [value for value in metrics.values() if not isinstance(value, str)]
    assert figures and all(math.isfinite(value) for value in figures)
    if '_video' in recipe:
        answers = json.loads((tmp_path / 'work_dirs/tvqa_test_predictions.json').read_text())
        assert sorted(map(int, answers)) == list(range(8))


@pytest.mark.parametrize('recipe', ['vl_pet/vlpet-large_bart-base_image.py', 'vl_pet/vlpet-small_t5-base_image.py'])
def test_a_checkpoint_comes_back_also_in_the_released_layout(workspace, tmp_path, recipe, monkeypatch):
    monkeypatch.chdir(workspace)
    runner = make_runner(workspace, tmp_path, recipe)
    runner.train()
    checkpoint = tmp_path / 'epoch_1.pth'
    family = runner.cfg.model.lm.model_type
    rows = [key for key in torch.load(checkpoint, weights_only=True)['state_dict'] if key.endswith(':]')]
    assert rows == [f'lm.{"model." if family == "bart" else ""}shared.weight[{VOCAB[family] - 200}:]']
    dumped = next(tmp_path.glob('*/vis_data/config.py'))
    released, back = tmp_path / 'released.pth', tmp_path / 'back.safetensors'
    for arguments in (
        [checkpoint, released, '--base', workspace / f'{family}.bin', '--to', 'vl_pet'],
        [checkpoint, back],
    ):
        done = run_script('tools/model_converters/convert_checkpoint.py', *arguments, '--config', dumped)
        assert done.returncode == 0, done.stderr
    state = {key: value for key, value in runner.model.state_dict().items()}
    for file in (checkpoint, released, back):
        # Another seed: rows that no base holds are drawn anew.
        options = {'randomness.seed': 1, 'load_from': SCHEME + str(file)}
        other = make_runner(workspace, tmp_path / file.stem, recipe, options)
        table = next(key for key in state if key.endswith('shared.weight'))
        assert not torch.equal(other.model.state_dict()[table], state[table])
        other.load_or_resume()
        found = other.model.state_dict()
        assert all(torch.equal(found[key], value) for key, value in state.items())
