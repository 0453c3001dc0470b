"""A run that is stopped and resumed ends like the uninterrupted one: weights, optimiser, best file, all figures.

Four task models x {between epochs, within one} x loader workers {0, 2} x {plain, accumulation, bfloat16}.
"""

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from tests.integration import test_configs, test_epalm_recipes, test_seq2seq_recipes
from tests.resuming import assert_same, outcome
from vlpeft.datasets.generators import seeded

TASKS = dict(
    retrieval=(test_configs, 'uniadapter/blip_msrvtt.py'),
    vqa=(test_configs, 'uniadapter/blip_msrvtt_qa.py'),
    seq2seq=(test_seq2seq_recipes, 'vl_pet/vlpet-large_bart-base_image.py'),
    perceptual=(test_epalm_recipes, 'epalm/epalm_opt-2.7b_vit-b_coco-caption.py'),
)
VARIANTS = dict(
    plain={},
    accumulation={'optim_wrapper.accumulative_counts': 2},
    amp={'optim_wrapper.type': 'MixedPrecisionOptimWrapper'},
)
EPOCHS = 2
# The fast ones stand for each model, each place, each number of workers and each variant.
FAST = {('retrieval', 2, 'plain'), ('vqa', 0, 'accumulation'), ('seq2seq', 2, 'accumulation'), ('perceptual', 0, 'amp')}
CASES = [
    pytest.param(task, workers, variant, marks=() if (task, workers, variant) in FAST else pytest.mark.slow)
    for task in TASKS
    for workers in (0, 2)
    for variant in VARIANTS
]


@pytest.fixture(scope='module')
def workspaces(tmp_path_factory):
    """Folders of the tasks, made when first asked for."""
    made = {}

    def of(task: str):
        module, _ = TASKS[task]
        if module not in made:
            made[module] = module.workspace.__wrapped__(tmp_path_factory)
        return made[module]

    return of


def small_config(workspaces, task: str, work_dir: Path, workers: int = 0, **options):
    """A recipe at tiny geometry: some batches an epoch, two epochs, validated after each."""
    module, recipe = TASKS[task]
    work_dir.mkdir(parents=True, exist_ok=True)
    with seeded(0):  # of weights that it draws for a base
        cfg = module.small_config(workspaces(task), work_dir, recipe)
    batch_size = 1 if task == 'perceptual' else 2
    cfg.train_dataloader.update(batch_size=batch_size, num_workers=workers, persistent_workers=workers > 0)
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=1)
    cfg.experiment_name, cfg.log_level = str(work_dir), 'WARNING'
    cfg.merge_from_dict(options)
    return cfg


@pytest.mark.parametrize('task, workers, variant', CASES)
def test_resumed_equals_uninterrupted(workspaces, tmp_path, monkeypatch, task, workers, variant):
    monkeypatch.chdir(workspaces(task) if task != 'retrieval' else tmp_path)
    options = dict(VARIANTS[variant], workers=workers)
    whole = small_config(workspaces, task, tmp_path / 'whole', **options)
    whole.custom_hooks.append(dict(type='CopyCheckpoints', folder=str(tmp_path / 'copies')))
    Runner.from_cfg(whole).train()
    expected = outcome(tmp_path / 'whole')
    assert len([name for name in expected if name.startswith('best_')]) == 1
    for copy in ('within1', 'epoch1', 'validated1', 'within2', 'epoch2'):
        folder = tmp_path / 'copies' / copy
        newest = (folder / 'last_checkpoint').read_text()
        torch.manual_seed(12345)
        # Best files of the copied folder are named by their place in it.
        resumed = small_config(workspaces, task, folder, load_from=str(folder / newest), resume=True, **options)
        Runner.from_cfg(resumed).train()
        assert_same(outcome(folder), expected, copy)
