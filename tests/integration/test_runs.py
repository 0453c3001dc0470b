"""Training, testing and resuming through MMEngine's runner, on real clips."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

import vlpeft  # noqa: F401
from tests.commands import run_script
from tests.workspace import ROOT, write_base, write_workspace
from vlpeft.checkpoint import CheckpointError
from vlpeft.engine.launch import build_runner, load_config
from vlpeft.engine.run_config import RunConfig


@pytest.fixture(scope='module')
def config_path(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp('workspace'))


def make_runner(config_path, work_dir, **options) -> Runner:
    config = RunConfig.read(config_path)
    config.merge_from_dict(dict(options, work_dir=str(work_dir), experiment_name=str(work_dir)))
    return Runner.from_cfg(config)


@pytest.fixture(scope='module')
def trained(config_path, tmp_path_factory):
    """Two epochs in one go."""
    runner = make_runner(config_path, tmp_path_factory.mktemp('straight'))
    runner.train()
    return runner


def test_training_moves_only_what_is_declared(config_path, trained, tmp_path):
    fresh = make_runner(config_path, tmp_path).model
    moved = {
        name
        for (name, new), (_, old) in zip(trained.model.named_parameters(), fresh.named_parameters())
        if not torch.equal(new, old)
    }
    assert moved == trained.model.declared
    optimised = {id(p) for group in trained.optim_wrapper.optimizer.param_groups for p in group['params']}
    assert optimised == {id(p) for n, p in trained.model.named_parameters() if n in trained.model.declared}


def test_checkpoint_holds_what_was_trained_and_the_base_hash(trained):
    checkpoint = torch.load(f'{trained.work_dir}/epoch_2.pth', weights_only=True)
    state = checkpoint['state_dict']
    frozen = trained.model.frozen_keys()
    assert not frozen & set(state) and frozen
    assert {key for key in state if not key.startswith(('momentum.', 'queue.'))} == trained.model.declared
    assert checkpoint['meta']['base'] == trained.model.base and len(trained.model.base['sha256']) == 64
    best = torch.load(next(Path(trained.work_dir).glob('best_*.pth')), weights_only=True)
    assert set(best['state_dict']) == trained.model.declared and 'optimizer' not in best


def test_a_run_resumed_in_a_fresh_process_equals_the_uninterrupted_one(config_path, trained, tmp_path):
    first = make_runner(config_path, tmp_path, **{'train_cfg.max_epochs': 1})
    first.train()
    subprocess.run(
        [sys.executable, 'tools/train.py', str(config_path), '--work-dir', str(tmp_path), '--resume'],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    straight, resumed = (
        torch.load(f'{folder}/epoch_2.pth', weights_only=True) for folder in (trained.work_dir, tmp_path)
    )
    assert set(straight['state_dict']) == set(resumed['state_dict'])
    for name, value in straight['state_dict'].items():
        assert torch.equal(value, resumed['state_dict'][name]), name
    for index, state in straight['optimizer']['state'].items():
        for key, value in state.items():
            assert torch.equal(value, resumed['optimizer']['state'][index][key])


def test_a_fresh_process_tests_to_the_same_figures(config_path, trained, tmp_path):
    metrics = trained.val_loop.run()
    out = tmp_path / 'out.json'
    command = [
        sys.executable,
        'tools/test.py',
        str(config_path),
        f'{trained.work_dir}/epoch_2.pth',
        '--out',
        str(out),
        '--work-dir',
        str(tmp_path),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    result = json.loads(out.read_text())
    assert result['metrics'] == metrics
    ours = trained.val_evaluator.metrics[0].predictions
    theirs = result['predictions']['retrieval']
    assert [row['rank'] for row in ours] == [row['rank'] for row in theirs]
    assert [[list(pair) for pair in row['top']] for row in ours] == [row['top'] for row in theirs]


def test_a_safetensors_export_tests_to_the_same_figures(config_path, trained, tmp_path):
    metrics = trained.val_loop.run()
    exported, out = tmp_path / 'adapter.safetensors', tmp_path / 'out.json'
    checkpoint = f'{trained.work_dir}/epoch_2.pth'
    for tool, *arguments in (
        ['model_converters/convert_checkpoint', checkpoint, exported, '--config', config_path, '--to', 'safetensors'],
        ['test', config_path, exported, '--out', out, '--work-dir', tmp_path],
    ):
        done = run_script(f'tools/{tool}.py', *arguments)
        assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())['metrics'] == metrics
    assert exported.stat().st_size < Path(f'{trained.work_dir}/epoch_2.pth').stat().st_size


def test_a_wrong_or_missing_base_is_refused(config_path, trained, tmp_path):
    checkpoint = f'{trained.work_dir}/epoch_2.pth'
    other = write_base(tmp_path / 'other.pth', seed=5)
    with pytest.raises(CheckpointError, match='another base'):
        make_runner(config_path, tmp_path, load_from=checkpoint, **{'model.base_checkpoint.source': other}).test()
    config = RunConfig.read(config_path)
    config.merge_from_dict(dict(work_dir=str(tmp_path), load_from=checkpoint, experiment_name='none'))
    config.model.base_checkpoint = None
    with pytest.raises(CheckpointError, match='needs its base base.pth'):
        Runner.from_cfg(config).test()
    config.merge_from_dict(dict(load_from=None, experiment_name='random base'))
    with pytest.raises(RuntimeError, match='frozen but has random weights'):
        Runner.from_cfg(config).train()


def test_a_base_of_another_geometry_is_refused(config_path, tmp_path):
    with pytest.raises(CheckpointError, match=r'geometry[\s\S]*text.embeddings.position_embeddings.weight'):
        make_runner(config_path, tmp_path, **{'model.text.max_positions': 41})


@pytest.mark.parametrize(
    'name, options',
    [
        ('full', {'model.adapter': None, 'model.trainable': 'all'}),
        ('heads', {'model.adapter': None}),
        ('lora', {'model.adapter': dict(type='LoRA', rank=2, targets=dict(kinds=['self_attn'], linears=['q', 'v']))}),
        (
            'composed',
            {
                'model.adapter': [
                    dict(type='UniAdapter', bottleneck=2, kv_bottleneck=2),
                    dict(type='LoRA', rank=2, targets=dict(towers=['text'])),
                ]
            },
        ),
        (
            'bf16 and checkpointing',
            {
                'optim_wrapper.type': 'MixedPrecisionOptimWrapper',
                'val_cfg.amp': True,
                'model.gradient_checkpointing': ['vision', 'text'],
            },
        ),
    ],
)
def test_every_method_trains_and_comes_back(config_path, tmp_path, name, options):
    config = RunConfig.read(config_path)
    for key, value in options.items():
        *path, leaf = key.split('.')
        node = config
        for part in path:
            node = node[part]
        node[leaf] = value
    config.merge_from_dict(dict(work_dir=str(tmp_path / 'a'), experiment_name=f'train {name}'))
    config.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(config)
    runner.train()
    metrics = runner.val_loop.run()
    config.merge_from_dict(dict(load_from=f'{tmp_path}/a/epoch_1.pth', experiment_name=f'test {name}'))
    config.test_cfg.amp = config.val_cfg.get('amp', False)
    again = Runner.from_cfg(config)
    assert again.test() == metrics
    for (key, value), other in zip(runner.model.state_dict().items(), again.model.state_dict().values()):
        assert torch.equal(value, other), key


def test_a_frozen_part_that_the_base_lacks_is_saved(config_path, tmp_path):
    options = {'model.temporal_frames': 2, 'model.train_temporal': False, 'train_cfg.max_epochs': 1}
    runner = make_runner(config_path, tmp_path, **options)
    table = runner.model.temporal_embedding.table.detach().clone()
    runner.train()
    assert 'temporal_embedding.table' not in runner.model.declared
    other = make_runner(
        config_path, tmp_path / 'other', load_from=f'{tmp_path}/epoch_1.pth', **{'randomness.seed': 1}, **options
    )
    assert not torch.equal(other.model.temporal_embedding.table, table)
    other.load_or_resume()
    assert torch.equal(other.model.temporal_embedding.table, table)


def test_a_default_hook_that_is_none_is_off(config_path, tmp_path):
    config = load_config(str(config_path), {'default_hooks.finite_guard': None, 'default_hooks.logger': None})
    config.merge_from_dict(dict(work_dir=str(tmp_path), launcher='none', experiment_name='without hooks'))
    kinds = {type(hook).__name__ for hook in build_runner(config).hooks}
    assert 'StopOnSignalHook' in kinds and not kinds & {'FiniteGuardHook', 'LoggerHook'}
