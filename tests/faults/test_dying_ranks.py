"""One of two processes is killed, raises or freezes: the run ends, and what is resumed ends like the uninterrupted."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.ports import free_port
from tests.resuming import assert_same, outcome
from tests.workspace import ROOT, write_workspace

PROGRAM = """
import os, signal
import vlpeft
from mmengine.hooks import Hook
from vlpeft.registry import HOOKS
from tools import train

@HOOKS.register_module()
class Fault(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 3 and os.environ['RANK'] == '1' and os.environ['FAULT']:
            if os.environ['FAULT'] == 'raises':
                raise ValueError('planted')
            os.kill(os.getpid(), dict(killed=signal.SIGKILL, frozen=signal.SIGSTOP)[os.environ['FAULT']])

train.main()
"""
EXTRA = """
custom_hooks = [dict(type='Fault'), dict(type='FreezeReportHook'), dict(type='EpochSeedHook')]
train_dataloader.update(batch_size=1)
env_cfg = dict(dist_cfg=dict(backend='gloo', timeout=12))
"""
# A frozen process is noticed by the others after this long, and the launcher gives processes 30 s to end.
PATIENCE = dict(killed=60, raises=60, frozen=90)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ranks')
    config = write_workspace(folder)
    config.write_text(config.read_text() + EXTRA)
    (folder / 'program.py').write_text(PROGRAM)
    return folder


def run(folder, name, fault='', *arguments) -> tuple:
    """Exit status, output and seconds of a run on two processes."""
    port = free_port()
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', FAULT=fault, CUDA_VISIBLE_DEVICES='')
    command = [
        sys.executable,
        '-m',
        'torch.distributed.run',
        '--nproc_per_node=2',
        f'--master_port={port}',
        str(folder / 'program.py'),
        str(folder / 'config.py'),
        '--launcher',
        'pytorch',
        '--work-dir',
        str(folder / name),
        *arguments,
    ]
    start = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=240)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return process.returncode, output, time.monotonic() - start


@pytest.fixture(scope='module')
def whole(folder):
    status, output, _ = run(folder, 'whole')
    assert status == 0, output
    return outcome(folder / 'whole')


@pytest.mark.parametrize(
    'fault', ['killed', pytest.param('raises', marks=pytest.mark.slow), pytest.param('frozen', marks=pytest.mark.slow)]
)
def test_the_run_ends_and_can_be_resumed(folder, whole, fault):
    status, output, seconds = run(folder, fault, fault)
    assert status != 0 and seconds < PATIENCE[fault], output
    assert fault != 'raises' or 'planted' in output
    status, output, _ = run(folder, fault, '', '--resume')
    assert status == 0, output
    assert_same(outcome(folder / fault), whole, fault)
