"""A run that is stopped and resumed ends like the uninterrupted one: weights, optimiser, best file, all figures.

Four task models x {between epochs, within one} x loader workers {0, 2} x {plain, accumulation, bfloat16}.
"""

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.integration import test_configs, test_epalm_recipes, test_seq2seq_recipes
from vlpeft.datasets.generators import seeded
from vlpeft.engine.hooks import AdapterCheckpointHook
from vlpeft.registry import HOOKS

TASKS = dict(
    retrieval=(test_configs, 'uniadapter/blip_msrvtt.py'),
    vqa=(test_configs, 'uniadapter/blip_msrvtt_qa.py'),
    seq2seq=(test_seq2seq_recipes, 'vl_pet/vlpet-large_bart-base_image.py'),
    perceptual=(test_epalm_recipes, 'epalm/epalm_opt-2.7b_vit-b_coco-caption.py'))
VARIANTS = dict(
    plain={}, accumulation={'optim_wrapper.accumulative_counts': 2},
    amp={'optim_wrapper.type': 'MixedPrecisionOptimWrapper'})
EPOCHS = 2
# The fast ones stand for each model, each place, each number of workers and each variant.
FAST = {('retrieval', 2, 'plain'), ('vqa', 0, 'accumulation'), ('seq2seq', 2, 'accumulation'), ('perceptual', 0, 'amp')}
CASES = [
    pytest.param(task, workers, variant, marks=() if (task, workers, variant) in FAST else pytest.mark.slow)
    for task in TASKS for workers in (0, 2) for variant in VARIANTS
]


@HOOKS.register_module()
class CopyCheckpoints(Hook):
    """Saves within every epoch too, and keeps a copy of the work folder at each checkpoint: what a kill would leave."""
    priority = 'LOWEST'

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.copies = {}

    def _copy(self, runner, name: str) -> None:
        shutil.copytree(runner.work_dir, self.folder / name)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.train_loop.batch == 2:
            saver, = (hook for hook in runner.hooks if isinstance(hook, AdapterCheckpointHook))
            saver.save_within(runner)
            self._copy(runner, f'within{runner.epoch + 1}')

    def after_train_epoch(self, runner) -> None:
        self._copy(runner, f'epoch{runner.epoch + 1}')

    def after_val_epoch(self, runner, metrics=None) -> None:
        self._copy(runner, f'validated{runner.epoch}')


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
    cfg.train_dataloader.update(batch_size=1 if task == 'perceptual' else 2, num_workers=workers)
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=1)
    cfg.experiment_name, cfg.log_level = str(work_dir), 'WARNING'
    cfg.merge_from_dict(options)
    return cfg


def outcome(folder: Path) -> dict:
    """All that a run leaves: the tensors and numbers of its checkpoints, by file."""
    found = {}
    for path in sorted(path for kind in ('best', 'epoch', 'iter') for path in folder.glob(f'{kind}_*.pth')):
        checkpoint = torch.load(path, weights_only=True)
        info = checkpoint['message_hub']['runtime_info']
        found[path.name] = dict(
            state=checkpoint['state_dict'], optimizer=checkpoint.get('optimizer'),
            schedulers=checkpoint.get('param_schedulers'), best=info.get('best_score'), at=checkpoint['meta']['iter'],
            position={key: value for key, value in checkpoint.get('position', {}).items() if key != 'generators'},
            torch=checkpoint['position']['generators'][0]['torch'] if 'position' in checkpoint else None)
    return found


def assert_same(one, two, path='') -> None:
    """Equal to the last bit, at every depth."""
    assert type(one) is type(two), path
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), path
    elif isinstance(one, dict):
        assert list(one) == list(two), path
        for key in one:
            assert_same(one[key], two[key], f'{path}/{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for number, (mine, other) in enumerate(zip(one, two)):
            assert_same(mine, other, f'{path}/{number}')
    else:
        assert one == two, path


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
