"""What a run shows on the console, and what only its log file has."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import StepLR

from tests.workspace import ROOT, write_workspace
from tools import test as test_tool
from tools import train as train_tool
from vlpeft.engine import progress
from vlpeft.engine.console import quiet_console

NOISE = ('System environment', 'Config:', 'Hooks will be executed', 'role                 trainable', 'Epoch(train)')
EVERY_STEP = ('--cfg-options', 'default_hooks.logger.interval=1', 'log_processor.window_size=1')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return str(write_workspace(tmp_path_factory.mktemp('workspace')))


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """A run of its own process: (folder, lines on the console, text of the log file)."""
    folder = tmp_path_factory.mktemp('trained')
    command = [sys.executable, 'tools/train.py', config, '--work-dir', str(folder), *EVERY_STEP]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return folder, done.stdout.splitlines(), log_of(folder)


def log_of(folder: Path) -> str:
    return max(folder.glob('*/*.log')).read_text()


def test_the_console_has_a_head_a_line_an_epoch_and_the_figures(trained, config):
    folder, lines, log = trained
    text = '\n'.join(lines)
    assert not any(noise in text for noise in NOISE) and all(noise in log for noise in NOISE)
    assert not re.search(r'[\x00-\x09\x0b-\x1f\x7f]', text) and 'warning' not in text
    head = dict(re.split(r' {1,}', line, maxsplit=1) for line in lines[:6])
    assert head['config'] == config and head['base'] == 'base.pth' and head['method'] == 'UniAdapter of a Retriever'
    of_log = re.search(r'all +([\d,]+) +([\d,]+) +([\d.]+ %)', log)
    assert head['parameters'] == '{} of {} train ({})'.format(*of_log.groups())
    assert head['data'] == '10 training samples in 2 batches, 7 validation samples'
    assert head['device'].endswith('1 process')
    assert lines[6:8] == [f'work folder {folder}', f'log         {next(folder.glob("*/*.log"))}']
    epochs = [line for line in lines if line.startswith('epoch ')]
    scalars = [json.loads(line) for line in next(folder.glob('*/vis_data/scalars.json')).read_text().splitlines()]
    for number, line in enumerate(epochs, 1):
        steps = [row for row in scalars if row.get('epoch') == number]
        loss = sum(row['loss'] for row in steps) / 2
        validation = [row for row in scalars if 'retrieval/mean_R@1' in row][number - 1]
        assert len(steps) == 2
        assert line.startswith(f'epoch {number}/2  loss {loss:.4g}  lr {steps[-1]["lr"]:.1e}  0:00:')
        assert f'retrieval/mean_R@1 {validation["retrieval/mean_R@1"]:.2f}  epoch_{number}.pth' in line
    best = next(folder.glob('best_*.pth'))
    assert [line.endswith('best so far') for line in epochs].index(True) + 1 == int(best.stem[-1])
    assert len(epochs) == 2 and len(lines) <= 16
    assert f'{"last checkpoint":<23}  {folder}/epoch_2.pth' in lines
    assert f'best retrieval/mean_R@1  {best}' in lines


def test_all_of_the_log_comes_with_verbose(config, tmp_path, capsys):
    train_tool.main([config, '--work-dir', str(tmp_path), '--verbose'])
    out = capsys.readouterr().out
    assert all(noise in out for noise in NOISE) and 'run ETA' not in out


def test_a_resumed_run_says_where_it_goes_on_and_what_it_passed_over(trained, config, tmp_path, capsys):
    for name in ('epoch_1.pth', 'epoch_1.pth.manifest.json', 'epoch_2.pth.manifest.json'):
        (tmp_path / name).write_bytes((trained[0] / name).read_bytes())
    (tmp_path / 'epoch_2.pth').write_bytes(b'damaged')
    train_tool.main([config, '--work-dir', str(tmp_path), '--resume'])
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r'warning: .*epoch_2\.pth.*going on from epoch_1\.pth', lines[0])
    assert 'goes on after epoch 1, iteration 2 of 4' in lines
    assert f'checkpoint  {tmp_path}/epoch_1.pth' in lines
    assert [line.split()[1] for line in lines if line.startswith('epoch ')] == ['2/2']


def test_a_test_shows_all_figures(trained, config, tmp_path, capsys):
    time.sleep(1)  # MMEngine names a log by config and second: a test just before this one would have it
    out = tmp_path / 'result.json'
    checkpoint = str(trained[0] / 'epoch_2.pth')
    test_tool.main([config, checkpoint, '--work-dir', str(tmp_path), '--out', str(out)])
    text = capsys.readouterr().out
    figures = dict(re.findall(r'(\S+[RnM]\S*) (\d+\.\d\d)\b', text.partition('test, retrieval:')[2]))
    wanted = json.loads(out.read_text())['metrics']
    assert figures == {name.partition('/')[2]: f'{value:.2f}' for name, value in wanted.items()}
    assert '7 test samples' in text and 'training' not in text and not any(noise in text for noise in NOISE)
    assert 'Loads checkpoint' not in text and f'backend from path: vlpeft://{checkpoint}' in log_of(tmp_path)


def test_a_run_by_iterations_has_a_line_for_each_validation(config, tmp_path, capsys):
    options = ['train_cfg._delete_=True', 'train_cfg.type=IterBasedTrainLoop', 'train_cfg.max_iters=5']
    options += ['train_cfg.val_interval=2', 'default_hooks.checkpoint.by_epoch=False', 'log_processor.by_epoch=False']
    train_tool.main([config, '--work-dir', str(tmp_path), '--cfg-options', *options])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith('iteration ')]
    assert [line[1] for line in lines] == ['2/5', '4/5', '5/5'], lines
    assert all('retrieval/mean_R@1' in line for line in lines)


def test_a_terminal_gets_a_bar(config, tmp_path):
    ours, theirs = pty.openpty()
    options = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=2']
    command = [sys.executable, 'tools/train.py', config, '--work-dir', str(tmp_path), '--cfg-options', *options]
    env = dict(os.environ, TERM='xterm', COLUMNS='150', LINES='40')
    with subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 4096):
                parts.append(part)
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    text = b''.join(parts).decode()
    assert process.returncode == 0, text
    assert re.search(r'epoch 1/1 .*━.*\d/5.*ETA', text) and '\x1b[2K' in text
    lines = re.sub(r'\x1b\[[\d;?]*[a-zA-Z]', '', text).replace('\r', '\n').splitlines()
    assert [line for line in lines if line.startswith('epoch 1/1  loss ') and line.endswith('epoch_1.pth  best so far')]


def test_without_a_terminal_long_work_has_a_line_now_and_then(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(time, 'monotonic', lambda: now[0])
    with progress.Steps('encode', 40, done=4) as steps:
        for _ in range(36):
            now[0] += 7.0
            steps.step()
    lines = capsys.readouterr().out.splitlines()
    # Every fifth of the 7-second steps is the first that is 30 seconds or more after the line before.
    assert lines == [f'encode  {4 + done}/40  ETA {progress.clock(7.0 * (36 - done))}' for done in range(5, 36, 5)]
    assert lines[0] == 'encode  9/40  ETA 0:03:37'


def test_warnings_that_a_user_can_act_on_are_shown_the_others_are_logged(tmp_path, capsys):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    with quiet_console():
        logger = MMLogger.get_instance('console test', log_file=str(tmp_path / 'log'))
        logger.info('of no interest')
        logger.warning('the warm-up is too long')
        warnings.warn('will go some day', FutureWarning, stacklevel=1)
        warnings.warn('Setting MKL_NUM_THREADS environment variable for each process', stacklevel=1)
        # Where gradients of several batches are summed, the rate changes with each, the weights with the last.
        StepLR(optimizer, 1).step()
        warnings.warn('look at this', stacklevel=1)
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert first == 'warning: the warm-up is too long' and second.startswith('warning: look at this (UserWarning of ')
    log = (tmp_path / 'log').read_text()
    logged = ('of no interest', 'will go', 'MKL_NUM_THREADS', 'call of `scheduler.step()`', 'look at this')
    assert not err and all(text in log for text in logged)


def test_a_logger_of_an_earlier_run_says_a_warning_once(capsys):
    with quiet_console():
        logger = MMLogger.get_instance('of two runs')
    for _ in range(2):
        with quiet_console():
            logger.warning('once in each')
    assert capsys.readouterr().out == 2 * 'warning: once in each\n'


def test_the_console_of_others_is_as_before(capsys):
    logger = MMLogger.get_instance('before and after')
    with quiet_console():
        logger.info('left out')
    logger.info('shown')
    kinds = [type(handler) for handler in MMLogger.get_instance('made afterwards').handlers]
    assert 'left out' not in (out := capsys.readouterr().out) and 'shown' in out
    assert kinds == [logging.StreamHandler]


@pytest.mark.parametrize('rank, texts', [('0', ['warning: a', 'error: b']), ('3', ['error: b'])])
def test_other_processes_only_tell_errors(rank, texts, monkeypatch, capsys):
    monkeypatch.setenv('RANK', rank)
    with quiet_console():
        logger = MMLogger.get_instance(f'process {rank}')
        logger.warning('a')
        logger.error('b')
    assert capsys.readouterr().out.splitlines() == texts
