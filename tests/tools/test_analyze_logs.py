"""vlpeft logs on the log of a real run that was resumed, and its refusals."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.commands import run_script
from tests.workspace import ROOT, write_workspace

TOOL = 'tools/analysis_tools/analyze_logs.py'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Two epochs, and a third after them in a start of its own."""
    folder = tmp_path_factory.mktemp('run')
    config = write_workspace(folder)
    for more in ([], ['--resume', '--cfg-options', 'train_cfg.max_epochs=3']):
        work = folder / 'work'
        env = dict(os.environ, PYTHONPATH=str(ROOT))
        command = [sys.executable, 'tools/train.py', str(config), '--work-dir', str(work), *more]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return work


def test_a_resumed_run_is_one_curve(run, tmp_path):
    done = run_script(TOOL, run, '--out', tmp_path / 'a.png', '--json')
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    summary = found['runs']['work']
    lines = [json.loads(text) for file in sorted(run.glob('*/vis_data/scalars.json')) for text in file.open()]
    training = [entry for entry in lines if 'iter' in entry]
    per_epoch = training[0]['iter']
    assert [entry['iter'] for entry in training] == [per_epoch, 2 * per_epoch, 3 * per_epoch]
    loss = summary['curves']['loss']
    assert loss['last'] == training[-1]['loss'] and loss['best'] == min(entry['loss'] for entry in training)
    recall = summary['curves']['retrieval/mean_R@1']
    values = [entry['retrieval/mean_R@1'] for entry in lines if 'iter' not in entry]
    assert recall['best'] == max(values) and recall['best_step'] == per_epoch * (1 + values.index(max(values)))
    assert recall['last_step'] == 3 * per_epoch and recall['points'] == 3 and summary['notes'] == []
    assert Image.open(tmp_path / 'a.png').size > (300, 300)


def test_two_runs_are_compared(run, tmp_path):
    first = sorted(path for path in run.iterdir() if (path / 'vis_data').is_dir())[0]
    done = run_script(
        TOOL, run, first, '--names', 'whole', 'first start', '--metrics', 'loss', 'lr', '--out', tmp_path / 'b.svg'
    )
    assert done.returncode == 0, done.stderr
    assert 'first start' in done.stdout and 'not logged' in done.stdout and f'picture: {tmp_path}' in done.stdout
    assert (tmp_path / 'b.svg').stat().st_size > 5000


@pytest.mark.parametrize(
    'arguments, said',
    [
        (['--metrics', 'acc'], "error: no run has a curve 'acc'; there are lr, data_time, "),
        (['--smooth', '1'], 'error: --smooth must be at least 0 and below 1, got 1'),
        (['--smooth', '-0.1'], 'error: --smooth must be at least 0'),
        (['--names', 'a', 'b'], 'error: --names: 2 names for 1 runs'),
        (['--out', 'a.jpg'], 'error: --out a.jpg: the name must end with one of .png, .pdf, .svg'),
    ],
)
def test_wrong_arguments_are_one_line(run, tmp_path, arguments, said):
    done = run_script(TOOL, run, *arguments, *([] if '--out' in arguments else ['--out', tmp_path / 'c.png']))
    assert done.returncode in (1, 2) and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / 'c.png').exists()


def test_what_is_no_log_is_one_line(run, tmp_path):
    (tmp_path / 'result.json').write_text('{"metrics": {}}')
    done = run_script(TOOL, tmp_path / 'result.json')
    assert done.returncode == 1 and 'result.json:1: is no line of a training log' in done.stderr
    done = run_script(TOOL, run, run, '--out', tmp_path / 'd.png')
    assert done.returncode == 1 and done.stderr == 'error: a run is given twice\n'
