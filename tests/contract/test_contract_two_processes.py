"""Every live cell in DistributedDataParallel over two gloo processes: the gradients are those of one process."""

import os
import subprocess
import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.contract.cells import METHODS, REFUSED
from tests.workspace import ROOT
from vlpeft.testing import SUBJECTS
from vlpeft.testing.contract import Case, backward


def compare() -> None:
    """Runs in each of the processes: one sample in the first, two in the second."""
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    rows = slice(0, 1) if rank == 0 else slice(1, 3)
    count, faults = 0, []
    for method, config in METHODS.items():
        for name, subject in SUBJECTS.items():
            if (method, name) in REFUSED:
                continue
            case = Case(subject, config)
            alone, parts = case.attached(), case.attached()
            # In a batch of one task what belongs to another has no gradient.
            wrapped = DistributedDataParallel(parts, find_unused_parameters=bool(parts.hooks.tasks))
            backward(case, alone)
            backward(case, parts, wrapped, rows)
            count += 1
            for (key, expected), (_, found) in zip(alone.named_parameters(), wrapped.module.named_parameters()):
                # Gradients are averaged over the two processes, the loss is a sum over samples.
                if expected.requires_grad and not torch.allclose(2 * found.grad, expected.grad, **case.close):
                    faults.append(f'{method} on {name}: {key}')
    print(f'rank {rank}: {count} cells, {len(faults)} faults {faults[:3]}', flush=True)
    dist.destroy_process_group()


def test_two_processes_are_one():
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2', '--standalone', __file__]
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    live = len(METHODS) * len(SUBJECTS) - len(REFUSED)
    for rank in range(2):
        assert f'rank {rank}: {live} cells, 0 faults' in run.stdout, run.stdout


if __name__ == '__main__':
    compare()
