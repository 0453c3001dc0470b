"""The Slurm scripts with a ``srun`` and a ``scontrol`` that only note how they were called: no cluster is needed."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.workspace import ROOT

# Each call of srun notes its arguments, and ends with the next of $CODES; "wait" is a run that a signal stops.
SRUN = """#!/usr/bin/env bash
echo "$*" >> calls
code=$(sed -n "$(wc -l < calls)p" codes)
if [ "$code" = wait ]; then
    trap 'echo USR1 >> signals; exit 75' USR1
    trap 'echo INT >> signals' INT
    trap 'echo TERM >> signals; exit 143' TERM
    echo ready
    for _ in $(seq 100); do sleep 0.1; done
fi
exit "$code"
"""
SCONTROL = '#!/usr/bin/env bash\necho "scontrol $*" >> calls\n'


def start(folder: Path, script: str, codes: str, **env) -> subprocess.Popen:
    for name, text in (('srun', SRUN), ('scontrol', SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / 'codes').write_text(codes.replace(' ', '\n') + '\n')
    kept = {name: value for name, value in os.environ.items() if not name.startswith('SLURM_')}
    env = dict(kept, PATH=f'{folder}:{os.environ["PATH"]}', PYTHON='python', **env)
    return subprocess.Popen(
        ['bash', str(ROOT / f'tools/{script}'), 'part', 'job', 'config.py', 'place', '--amp'],
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
        # Programs in the background of a script have it ignored, and bash cannot trap what was ignored when it began.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def calls(folder: Path) -> list[str]:
    return (folder / 'calls').read_text().splitlines()


def test_a_run_asks_for_the_signal_and_goes_on_until_it_is_finished(tmp_path):
    process = start(tmp_path, 'slurm_train.sh', '75 75 0', STOP_BEFORE='300', SRUN_ARGS='--time=10 --mem=1G')
    process.communicate(timeout=20)
    assert process.returncode == 0
    first, *others = calls(tmp_path)
    assert '-p part --job-name=job --gres=gpu:8 --ntasks=8' in first and '--time=10 --mem=1G' in first
    assert '--signal=USR1@300' in first and '--kill-on-bad-exit=0 --wait=60' in first
    assert first.endswith(f'-u {ROOT}/tools/train.py config.py --work-dir place --launcher slurm --amp')
    assert others == [f'{first} --resume'] * 2


@pytest.mark.parametrize('code', [1, 137])
def test_a_run_that_fails_is_not_started_again(tmp_path, code):
    process = start(tmp_path, 'slurm_train.sh', str(code))
    process.communicate(timeout=20)
    assert process.returncode == code and len(calls(tmp_path)) == 1
    assert '--signal=USR1@120' in calls(tmp_path)[0]


def test_a_batch_job_is_queued_again_and_then_resumes(tmp_path):
    process = start(tmp_path, 'slurm_train.sh', '75', SLURM_JOB_ID='123')
    process.communicate(timeout=20)
    assert process.returncode == 0 and calls(tmp_path)[1:] == ['scontrol requeue 123']
    process = start(tmp_path, 'slurm_train.sh', '0 0 0', SLURM_JOB_ID='123', SLURM_RESTART_COUNT='1')
    process.communicate(timeout=20)
    assert process.returncode == 0 and calls(tmp_path)[2].endswith('--amp --resume')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_script_stops_the_run_for_good(tmp_path, number):
    process = start(tmp_path, 'slurm_train.sh', 'wait')
    assert process.stdout.readline() == 'ready\n'
    os.kill(process.pid, number)
    process.communicate(timeout=20)
    assert process.returncode == 75 and len(calls(tmp_path)) == 1
    assert (tmp_path / 'signals').read_text() == 'USR1\n'


def test_test_is_srun_itself(tmp_path):
    """So that a signal to the script is one to srun."""
    process = start(tmp_path, 'slurm_test.sh', 'wait')
    assert process.stdout.readline() == 'ready\n'
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143 and (tmp_path / 'signals').read_text() == 'TERM\n'
