"""Real runs of train.py and test.py on a toy model: several processes, AMP, resuming, results on disk."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.ports import free_port
from vlpeft.engine.launch import apply_run_arguments

ROOT = Path(__file__).parents[2]
TOY = Path(__file__).parent / 'toy'
CONFIG = str(TOY / 'toy_config.py')


def start(command, cwd):
    """Run a tool on the CPU, with the toy importable; return stdout and stderr together."""
    port = free_port()
    env = dict(
        os.environ,
        PYTHONPATH=f'{ROOT}{os.pathsep}{TOY}',
        PYTHON=sys.executable,
        PORT=str(port),
        OMP_NUM_THREADS='1',
        CUDA_VISIBLE_DEVICES='',
    )
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def log_of(work_dir: Path) -> str:
    return '\n'.join(path.read_text() for path in sorted(work_dir.glob('*/*.log')))


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """One epoch with --amp in two processes, logged to TensorBoard: (folder, output)."""
    folder = tmp_path_factory.mktemp('trained')
    output = start(
        [
            'bash',
            ROOT / 'tools/dist_train.sh',
            CONFIG,
            2,
            '--amp',
            '--cfg-options',
            'visualizer.vis_backends.0.type=TensorboardVisBackend',
            'train_cfg.max_epochs=1',
        ],
        folder,
    )
    return folder, output


def test_two_processes_train_with_amp_and_log_to_tensorboard(trained):
    folder, output = trained
    work_dir = folder / 'work_dirs/toy_config'
    assert (work_dir / 'epoch_1.pth').is_file()
    log = log_of(work_dir)
    assert 'Epoch(train) [1][3/3]' in log and 'Epoch(train)' not in output
    assert len([line for line in output.splitlines() if line.startswith('epoch 1/1')]) == 1, output
    assert len([line for line in output.splitlines() if line.startswith('device ')]) == 1
    assert 'cpu, 2 processes' in output and 'Warning' not in output
    assert 'predicts in torch.bfloat16' in output
    assert 'retrieval/mean_R@1' in output
    assert "type='MixedPrecisionOptimWrapper'" in (work_dir / 'toy_config.py').read_text()
    assert len(list(work_dir.rglob('events.out.tfevents.*'))) == 1


def test_without_a_gpu_gloo_is_in_the_config_and_in_the_log(trained):
    folder, output = trained
    saved = (folder / 'work_dirs/toy_config/toy_config.py').read_text()
    assert "dist_cfg=dict(backend='gloo')" in saved
    log = log_of(folder / 'work_dirs/toy_config')
    assert 'No GPU: set env_cfg.dist_cfg.backend=gloo' in log
    # Beside the versions that MMEngine names.
    assert all(f'{name} {version(name)}' in log for name in ('transformers', 'mmengine', 'peft', 'torch'))


def test_resume_goes_on_in_one_process_with_scaled_rate(trained):
    folder, _ = trained
    output = start(
        [
            sys.executable,
            ROOT / 'tools/train.py',
            CONFIG,
            '--work-dir',
            folder / 'resumed',
            '--resume',
            folder / 'work_dirs/toy_config/epoch_1.pth',
            '--auto-scale-lr',
            '--cfg-options',
            'train_cfg.max_epochs=2',
        ],
        folder,
    )
    log = log_of(folder / 'resumed')
    assert 'Epoch(train) [1]' not in log and 'epoch 1/2' not in output
    assert 'Epoch(train) [2][5/5]' in log
    assert 'Scaling the original LR by 0.03125' in log
    assert 'goes on after epoch 1, iteration ' in output and '\nepoch 2/2  ' in output
    assert (folder / 'resumed/epoch_2.pth').is_file()


def test_one_and_two_processes_and_no_checkpoint(trained):
    folder, _ = trained
    checkpoint = folder / 'work_dirs/toy_config/epoch_1.pth'
    output = start([sys.executable, ROOT / 'tools/test.py', CONFIG, checkpoint, '--out', 'one.json'], folder)
    assert 'predicts in torch.float32' in output
    two = [CONFIG, checkpoint, 2, '--out', 'two.json', '--report', 'report']
    start(['bash', ROOT / 'tools/dist_test.sh', *two], folder)
    base_output = start([sys.executable, ROOT / 'tools/test.py', CONFIG, 'none', '--amp', '--out', 'base.json'], folder)
    assert 'predicts in torch.bfloat16' in base_output
    one, two, base = (json.loads((folder / f'{name}.json').read_text()) for name in ('one', 'two', 'base'))
    assert one['metrics']['retrieval/mean_R@1'] > 60
    assert len(one['predictions']['retrieval']) == 9
    assert two['predictions'] == one['predictions'] and two['intervals'] == one['intervals']
    assert (folder / 'report/index.html').is_file() and not (folder / 'report/result.json').exists()
    ranks = [key for key in one['metrics'] if key.startswith('retrieval/')]
    assert len(ranks) == 12 and all(one['metrics'][key] == two['metrics'][key] for key in ranks)
    # The head starts at zero: every clip ties, so every query gets the worst of three ranks.
    assert {prediction['rank'] for prediction in base['predictions']['retrieval']} == {3}
    assert base['metrics']['retrieval/mean_R@1'] == 0


THREADS = r"""
import importlib, sys
from pathlib import Path
importlib.import_module(f'tools.{sys.argv[1]}').main(sys.argv[2:])
left = sorted(path.read_text().strip() for path in Path('/proc/self/task').glob('*/comm'))
sys.stdout.write(f'left running: {left}\n')  # in one piece, the other process writes too
"""


@pytest.mark.parametrize('tool, arguments', [('train', ()), ('test', ('work_dirs/toy_config/epoch_1.pth',))])
def test_no_thread_of_the_process_group_outlives_it(trained, tool, arguments):
    """One that lets go of a tensor while Python shuts down would abort the process."""
    folder, _ = trained
    (folder / 'threads.py').write_text(THREADS)
    output = start(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--nproc_per_node=2',
            '--standalone',
            'threads.py',
            tool,
            CONFIG,
            *arguments,
            '--launcher',
            'pytorch',
            '--work-dir',
            f'threads_{tool}',
        ],
        folder,
    )
    left = [line for line in output.splitlines() if line.startswith('left running:')]
    assert len(left) == 2 and not any('gloo' in line for line in left), left


@pytest.mark.parametrize(
    'config, expected',
    [
        ('configs/uniadapter/blip_msrvtt.py', 'work_dirs/uniadapter/blip_msrvtt'),
        ('../configs/mine/configs/lora/blip.py', 'work_dirs/lora/blip'),
        ('my_run.py', 'work_dirs/my_run'),
    ],
)
def test_runs_of_equally_named_configs_have_folders_of_their_own(config, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = Config()
    apply_run_arguments(cfg, Namespace(config=config, work_dir=None, launcher='none', local_rank=0))
    assert cfg.work_dir == expected
