"""Recipes that are a release in every respect, and that no base config is left over."""

import ast
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.dataset import DefaultSampler

from tests.workspace import ROOT
from tools.analysis_tools.count_params import count
from vlpeft.datasets.multi_task import MultiTaskDataset
from vlpeft.datasets.samplers import TaskMixingBatchSampler

CONFIGS = ROOT / 'configs'


def read(name):
    return Config.fromfile(CONFIGS / f'{name}.py', format_python_code=False)


def bases(path: Path) -> set:
    """All configs that one inherits from."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '_base_':
            names = ast.literal_eval(node.value)
            for name in [names] if isinstance(names, str) else names:
                base = (path.parent / name).resolve()
                found |= {base} | bases(base)
    return found


def test_every_base_is_used():
    recipes = [path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts]
    used = set().union(*map(bases, recipes))
    assert [path.name for path in (CONFIGS / '_base_').rglob('*.py') if path.resolve() not in used] == []


def test_every_recipe_is_guarded_against_numbers_that_are_not_finite():
    runtime = CONFIGS / '_base_/default_runtime.py'
    assert Config.fromfile(runtime).default_hooks.finite_guard == dict(type='FiniteGuardHook')
    recipes = [path for path in CONFIGS.rglob('*.py') if not path.name.startswith('_') and '_base_' not in path.parts]
    assert len(recipes) > 50 and not [path.name for path in recipes if runtime.resolve() not in bases(path)]


@pytest.mark.parametrize('name', ['blip_coco', 'blip_flickr30k'])
def test_uniadapter_retrieval(name):
    counts = count(str(CONFIGS / f'uniadapter/{name}_released.py'), {})
    # The released rule: bottleneck 512, key/value adapters, projections and matching head, without LN_cross's 18,432.
    assert counts['trainable'] == 19_520_132
    config = read(f'uniadapter/{name}_released')
    assert config.model.momentum.adapter_decay == 0.995**2
    assert config.model.adapter.get('init', 'zero_text') == 'zero_text'
    assert config.model.get('negative_all_rank', True) is (name == 'blip_coco')
    assert (config.optim_wrapper.optimizer.type, config.optim_wrapper.optimizer.lr) == ('AdamW', 1e-5)
    assert config.test_cfg.k_test == (256 if name == 'blip_coco' else 128) and not config.test_cfg.get('beta')
    assert config.train_cfg.max_epochs == 6 and config.auto_scale_lr.base_batch_size == 8 * 32


def test_uniadapter_question_answering():
    config = read('uniadapter/blip_vqav2_released')
    model = config.model
    assert (model.adapter.init, model.adapter.train_cross_norm) == ('normal', False)
    assert model.vision.drop_path_rate == model.score_smoothing == 0.1
    assert (model.beam_rule, model.generate_with_padding) == ('released', True)
    assert (config.optim_wrapper.optimizer.lr, config.train_cfg.max_epochs) == (2e-5, 10)
    assert config.auto_scale_lr.base_batch_size == 8 * 16 and config.val_cfg is None


def test_vl_pet():
    config = read('vl_pet/vlpet-large_bart-base_image_released')
    optimizer = config.optim_wrapper.optimizer
    assert optimizer == dict(type='HFAdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01)
    assert config.optim_wrapper.clip_grad == dict(max_norm=5)
    assert config.param_scheduler == dict(
        type='WarmupLinear', warmup_ratio=0.1, by_epoch=True, convert_to_iter_based=True
    )
    assert config.default_hooks.checkpoint.save_best is None and config.train_cfg.max_epochs == 20
    assert config.train_dataloader.batch_sampler.batch_sizes == dict(vqa=500, gqa=833, nlvr2=166, caption=416)


@pytest.mark.parametrize(
    'name, follows', [('vlpet-large_bart-base_image', True), ('vlpet-large_bart-base_image_released', False)]
)
def test_vl_pet_order_does_not_follow_the_run_s_seed(name, follows):
    loader = read(f'vl_pet/{name}').train_dataloader
    tasks = MultiTaskDataset(dict(vqa=range(4000), gqa=range(5000), nlvr2=range(900), caption=range(2500)))
    orders = []
    for seed in (42, 43):
        options = {'seed': seed, **loader.sampler}  # as MMEngine's runner builds it
        options.pop('type')
        batch_sampler = {key: value for key, value in loader.batch_sampler.items() if key != 'type'}
        sampler = TaskMixingBatchSampler(DefaultSampler(tasks, **options), batch_size=500, **batch_sampler)
        orders.append((sampler.schedule(0), list(sampler)))
    assert (orders[0] != orders[1]) is follows
