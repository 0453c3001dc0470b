"""Command lines: help, errors, print_config, list_registry, the shell scripts' usage."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / 'configs/_base_/schedules/adamw_cosine_5e.py')


def run(monkeypatch, capsys, script, *arguments):
    """Run a tool as ``python tools/SCRIPT`` would, in this process; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, 'argv', [script, *arguments])
    code = 0
    try:
        runpy.run_path(str(ROOT / 'tools' / script), run_name='__main__')
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    'script, words',
    [
        ('train.py', ['--work-dir', '--resume', '--amp', '--cfg-options', '--launcher', '--auto-scale-lr', 'examples']),
        (
            'test.py',
            ['--work-dir', '--amp', '--cfg-options', '--launcher', '--out', '--allow-random', 'checkpoint', 'examples'],
        ),
        (
            'analysis_tools/replay_batch.py',
            ['checkpoint', 'batch', '--device', '--cfg-options', 'exit code', 'example'],
        ),
        ('misc/check_metafiles.py', ['metafiles', 'fault']),
        ('misc/print_config.py', ['--cfg-options', 'config']),
        ('misc/list_registry.py', ['--registry', '--json', 'METRICS']),
    ],
)
def test_help(monkeypatch, capsys, script, words):
    code, out, _ = run(monkeypatch, capsys, script, '--help')
    assert code == 0
    assert [word for word in words if word not in out] == []


@pytest.mark.parametrize('script', ['train.py', 'misc/print_config.py'])
def test_unknown_config_lists_near_matches(monkeypatch, capsys, script):
    code, _, err = run(monkeypatch, capsys, script, 'configs/_base_/schedule/adamw_cosin_5e.py')
    assert code == 2
    assert 'configs/_base_/schedule/adamw_cosin_5e.py does not exist' in err
    assert 'did you mean configs/_base_/schedules/adamw_cosine_5e.py' in err


@pytest.mark.parametrize(
    'script, arguments',
    [('test.py', [CONFIG, 'FOLDER/epoch_9.pth']), ('train.py', [CONFIG, '--resume', 'FOLDER/epoch_9.pth'])],
)
def test_unknown_checkpoint_lists_its_neighbours(monkeypatch, capsys, tmp_path, script, arguments):
    (tmp_path / 'epoch_1.pth').touch()
    arguments = [argument.replace('FOLDER', str(tmp_path)) for argument in arguments]
    code, _, err = run(monkeypatch, capsys, script, *arguments)
    assert code == 2
    assert 'epoch_9.pth does not exist' in err and 'holds epoch_1.pth' in err


def test_results_go_to_json_only(monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, 'test.py', CONFIG, 'none', '--out', 'result.pkl')
    assert code == 2 and 'result.pkl must end with .json' in err


def test_auto_scale_lr_needs_a_base_batch_size(monkeypatch, capsys, tmp_path):
    config = tmp_path / 'plain.py'
    config.write_text('train_cfg = dict()')
    code, _, err = run(monkeypatch, capsys, 'train.py', str(config), '--auto-scale-lr')
    assert code == 1 and 'no auto_scale_lr=dict(base_batch_size' in err


def test_print_config_resolves_bases_and_overrides(monkeypatch, capsys, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(f'_base_ = [{CONFIG!r}]\ntest_cfg = dict(k_test=16)\n')
    code, out, _ = run(
        monkeypatch,
        capsys,
        'misc/print_config.py',
        str(child),
        '--cfg-options',
        'optim_wrapper.optimizer.lr=0.5',
        'train_cfg.max_epochs=7',
    )
    assert code == 0
    printed = Config.fromstring(out, '.py')
    assert printed.test_cfg == dict(type='RetrievalTestLoop', k_test=16)
    assert printed.optim_wrapper.optimizer == dict(type='AdamW', lr=0.5, weight_decay=0.05)
    assert printed.train_cfg.max_epochs == 7


def test_list_registry_json_and_table(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, 'misc/list_registry.py', '--json')
    assert code == 0, err
    listing = json.loads(out)
    metric = next(part for part in listing['METRICS'] if part['name'] == 'RetrievalMetric')
    assert metric['module'] == 'vlpeft.evaluation.metrics.retrieval'
    assert metric['summary'].startswith('R@1/5/10, median and mean rank')
    assert [part['name'] for parts in listing.values() for part in parts if not part['summary']] == []
    code, out, _ = run(monkeypatch, capsys, 'misc/list_registry.py', '--registry', 'metrics')
    assert code == 0
    assert 'RetrievalMetric' in out and 'OPTIM_WRAPPERS' not in out


def test_list_registry_shows_what_it_can_of_a_broken_room(monkeypatch, capsys, tmp_path):
    room = tmp_path / 'half_room'
    room.mkdir()
    (room / '__init__.py').write_text('')
    (room / 'bad.py').write_text('import a_library_that_is_not_there')
    (room / 'good.py').write_text(
        'from vlpeft.registry import READERS\n\n\n@READERS.register_module()\n'
        'class GoodReader:\n    """Reads well."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    from vlpeft.registry import READERS

    monkeypatch.setattr(READERS, '_locations', ['half_room'])
    monkeypatch.setattr(READERS, '_module_dict', {})
    code, out, err = run(monkeypatch, capsys, 'misc/list_registry.py', '--registry', 'READERS', '--json')
    assert code == 1
    good = dict(name='GoodReader', module='half_room.good', summary='Reads well.')
    assert json.loads(out) == {'READERS': [good]}
    assert 'could not import half_room.bad: ModuleNotFoundError' in err and 'a_library_that_is_not_there' in err


@pytest.mark.parametrize(
    'script, usage',
    [
        ('dist_train.sh', 'CONFIG GPUS'),
        ('dist_test.sh', 'CONFIG CHECKPOINT GPUS'),
        ('slurm_train.sh', 'PARTITION JOB_NAME CONFIG WORK_DIR'),
        ('slurm_test.sh', 'PARTITION JOB_NAME CONFIG CHECKPOINT'),
    ],
)
def test_shell_scripts_say_how_they_are_called(script, usage):
    result = subprocess.run(['bash', str(ROOT / 'tools' / script)], capture_output=True, text=True)
    assert result.returncode == 2 and usage in result.stderr


@pytest.mark.parametrize(
    'script, arguments, tail',
    [
        (
            'slurm_train.sh',
            ['part', 'job', 'cfg.py', 'work', '--amp', '--cfg-options', 'a="[1, 2]"'],
            ['cfg.py', '--work-dir', 'work', '--launcher', 'slurm', '--amp', '--cfg-options', 'a="[1, 2]"'],
        ),
        (
            'slurm_test.sh',
            ['part', 'job', 'cfg.py', 'none', '--out', 'my file.json'],
            ['cfg.py', 'none', '--launcher', 'slurm', '--out', 'my file.json'],
        ),
    ],
)
def test_slurm_scripts_hand_everything_to_srun(tmp_path, monkeypatch, script, arguments, tail):
    srun = tmp_path / 'srun'
    srun.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    monkeypatch.setenv('GPUS', '4')
    monkeypatch.setenv('SRUN_ARGS', '--quotatype=reserved --async')
    command = ['bash', str(ROOT / 'tools' / script), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    called = result.stdout.splitlines()
    assert called[-len(tail) :] == tail
    assert {'--gres=gpu:4', '--ntasks=4', '--ntasks-per-node=4', '--quotatype=reserved', '--async'} <= set(called)
