"""A loader worker that dies names the clip it was reading."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from tests import media
from vlpeft.datasets.in_progress import DeadWorkerError, clip_in_progress, naming_dead_workers, note_clip
from vlpeft.registry import DATASETS


class DieOn:
    """A decoder that ends its process on one file."""

    def __init__(self, name, how):
        self.name, self.how = name, how

    def __call__(self, results):
        if results['path'].endswith(self.name):
            os.kill(os.getpid(), self.how)
        return dict(name=results['path'])


def build(folder, how, **options):
    for number in range(8):
        media.write_image(folder / f'{number}.png', size=(4, 4))
    lines = [json.dumps(dict(image=f'{number}.png', caption='a')) + '\n' for number in range(8)]
    (folder / 'a.jsonl').write_text(''.join(lines))
    return DATASETS.build(
        dict(type='JSONLRetrieval', ann_file=str(folder / 'a.jsonl'), pipeline=[DieOn('5.png', how)], **options)
    )


@pytest.mark.parametrize('how', [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
@pytest.mark.parametrize('test_mode', [False, True])
def test_the_clip_is_named_whatever_killed_the_worker(tmp_path, how, test_mode):
    loader = DataLoader(build(tmp_path, how, test_mode=test_mode), batch_size=2, num_workers=2, collate_fn=list)
    batches = iter(loader)
    with pytest.raises(DeadWorkerError) as caught, naming_dead_workers():
        list(batches)
    batches._shutdown_workers()  # left to the garbage collection, the other worker takes five seconds
    assert f'was reading {tmp_path}/5.png. Remove or repair' in str(caught.value)
    assert 'DataLoader worker (pid' in str(caught.value)


def test_other_errors_are_passed_on_as_they_are():
    for error in (
        RuntimeError('DataLoader worker (pid 1) is killed by signal: Aborted. '),
        RuntimeError('shapes'),
        ValueError('x'),
    ):
        with pytest.raises(type(error)) as caught, naming_dead_workers():
            raise error
        assert caught.value is error


def test_the_last_clip_of_a_process_is_kept():
    note_clip(dict(path='a' * 5000))
    assert clip_in_progress(os.getpid()) == 'a' * 1008
    note_clip(dict(paths=['x/é.png', 'y.png'], path='z'))
    assert clip_in_progress(os.getpid()) == 'x/é.png, y.png'
    note_clip(dict(name='b'))
    assert clip_in_progress(os.getpid()) == 'b' and clip_in_progress(os.getpid() + 256) is None


def test_the_tool_says_it(tmp_path):
    """With MMEngine's runner in a process of its own, as ``tools/train.py`` runs it."""
    build(tmp_path, signal.SIGABRT)
    (tmp_path / 'run.py').write_text(f"""
import sys
from pathlib import Path
from mmengine.model import BaseModel
from mmengine.runner import Runner
import torch
from tests.datasets.test_in_progress import DieOn
from vlpeft.datasets.in_progress import naming_dead_workers
from vlpeft.registry import DATASETS
class Tiny(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
    def forward(self, **kwargs):
        return dict(loss=self.weight.sum())
    def train_step(self, data, optim_wrapper):
        return dict(loss=self.weight.sum().detach())
dataset = DATASETS.build(dict(type='JSONLRetrieval', ann_file={str(tmp_path / 'a.jsonl')!r},
                              pipeline=[DieOn('5.png', 6)]))
loader = dict(dataset=dataset, batch_size=2, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False))
runner = Runner(Tiny(), work_dir={str(tmp_path / 'work')!r}, train_dataloader=loader,
                train_cfg=dict(by_epoch=True, max_epochs=1), log_level='ERROR',
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)))
with naming_dead_workers():
    runner.train()
""")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(tmp_path / 'run.py')],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(root)),
    )
    assert done.returncode == 1
    assert f'was reading {tmp_path}/5.png.' in done.stderr.strip().splitlines()[-1]
