"""Signals to real runs of the tools: what they leave, how they exit, and that resumed runs end as unstopped ones."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_resume import assert_same, outcome
from tests.ports import free_port
from tests.workspace import ROOT, write_workspace

MOMENTS = ('train', 'train', 'train', 'val')
EXTRA = """
custom_imports = dict(imports=['tests.paced'])
custom_hooks = [dict(type='TellProgress'), dict(type='FreezeReportHook'), dict(type='EpochSeedHook')]
train_dataloader.update(batch_size=1, num_workers=1, persistent_workers=True)
val_dataloader.update(batch_size=1, num_workers=1, persistent_workers=True)
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """Ten steps an epoch, seven batches of validation, each with a loader worker that stays to the end of the run."""
    path = write_workspace(tmp_path_factory.mktemp('signals'))
    path.write_text(path.read_text() + EXTRA)
    return path


def start(config: Path, folder: Path, processes: int = 1, *arguments) -> subprocess.Popen:
    """A run in a process group of its own, as a shell starts it."""
    port = free_port()
    env = dict(
        os.environ,
        PYTHONPATH=str(ROOT),
        PYTHON=sys.executable,
        PORT=str(port),
        OMP_NUM_THREADS='1',
        CUDA_VISIBLE_DEVICES='',
    )
    command = [sys.executable, ROOT / 'tools/train.py', config]
    if processes > 1:
        command = ['bash', ROOT / 'tools/dist_train.sh', config, processes]
    command += ['--work-dir', folder, *arguments]
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=folder.parent,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen, phase: str, number: int = 1) -> set[int]:
    """Reads until the run has begun so many iterations of a phase; the processes that have spoken."""
    seen, lines = set(), []
    for line in process.stdout:
        lines.append(line)
        word, *rest = line.split() or ['']
        if word == 'at':
            seen.add(int(rest[0]))
            number -= rest[1] == phase
            if number <= 0:
                return seen
    raise AssertionError(''.join(lines))


def finish(config: Path, folder: Path, processes: int = 1, *arguments) -> str:
    process = start(config, folder, processes, *arguments)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope='module')
def whole(config, tmp_path_factory):
    """The outcome of the uninterrupted run on one process or several."""
    made = {}

    def of(processes: int = 1) -> dict:
        if processes not in made:
            folder = tmp_path_factory.mktemp('whole') / 'run'
            finish(config, folder, processes)
            made[processes] = outcome(folder)
        return made[processes]

    return of


def alive(pids: set[int]) -> set[int]:
    """Of these processes those that run, of which a zombie is none."""
    return {
        pid
        for pid in pids
        if Path(f'/proc/{pid}').is_dir() and Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    }


@pytest.mark.parametrize(
    'number, seed',
    [
        pytest.param(number, seed, marks=() if (number, seed) == (signal.SIGINT, 0) else pytest.mark.slow)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        for seed in range(4)
    ],
)
def test_at_random_moments(config, whole, tmp_path, number, seed):
    """The whole process group gets it, loader workers too, as with Ctrl-C."""
    draw = random.Random(f'{number} {seed}')
    folder = tmp_path / 'run'
    process = start(config, folder)
    wait_for(process, MOMENTS[seed], draw.randint(1, 14 if MOMENTS[seed] == 'val' else 20))
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75 and f'{number.name}: the run stops' in output, output
    assert 'Traceback' not in output and 'Exception' not in output, output
    finish(config, folder, 1, '--resume')
    assert_same(outcome(folder), whole())


def test_a_second_signal_ends_at_once_and_loses_no_checkpoint(config, tmp_path):
    """While the first step that the hook could end takes long."""
    process = start(config, tmp_path / 'run', 1, '--cfg-options', 'custom_hooks.0.seconds=40')
    wait_for(process, 'train')
    os.kill(process.pid, signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=5) == -signal.SIGINT
    process.stdout.close()


@pytest.mark.parametrize(
    'number, phase',
    [
        pytest.param(signal.SIGTERM, 'train'),
        pytest.param(signal.SIGUSR1, 'train', marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 'train', marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 'val', marks=pytest.mark.slow),
    ],
)
def test_two_processes_by_the_script(config, whole, tmp_path, number, phase):
    """Its process is the one to send a signal to."""
    folder = tmp_path / 'run'
    process = start(config, folder, 2)
    ranks = wait_for(process, phase, 9)
    os.kill(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75 and 'the run stops' in output, output
    assert len(ranks) == 2 and not alive(ranks) and 'Traceback' not in output, output
    finish(config, folder, 2, '--resume')
    assert_same(outcome(folder), whole(2))


@pytest.mark.slow
def test_one_of_two_processes_gets_it(config, whole, tmp_path):
    """As from Slurm, and no launcher tells the other: both stop at the same step."""
    folder = tmp_path / 'run'
    # Five steps an epoch for each of two processes, slow enough that it is not over when the signal comes.
    process = start(config, folder, 2, '--cfg-options', 'custom_hooks.0.seconds=0.5')
    ranks = wait_for(process, 'train', 5)
    os.kill(max(ranks), signal.SIGUSR1)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75 and 'SIGUSR1: the run stops after iteration' in output, output
    finish(config, folder, 2, '--resume')
    assert_same(outcome(folder), whole(2))


@pytest.mark.slow
def test_a_second_signal_ends_all_processes_at_once(config, tmp_path):
    process = start(config, tmp_path / 'run', 2, '--cfg-options', 'custom_hooks.0.seconds=100')
    ranks = wait_for(process, 'train', 2)
    os.kill(process.pid, signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=3)
    assert alive(ranks) == ranks
    os.kill(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode not in (0, 75) and not alive(ranks), output


@pytest.mark.slow
def test_a_failed_process_is_no_stop(config, tmp_path):
    process = start(config, tmp_path / 'run', 2)
    ranks = wait_for(process, 'train', 5)
    os.kill(max(ranks), signal.SIGKILL)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 1 and not alive(ranks), output
    assert 'exitcode  : -9' in output, 'the report of torchrun names the process that was killed'
