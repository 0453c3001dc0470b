"""MMEngine checkpoints load with weights_only=True; files that would run code do not."""

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

import vlpeft  # noqa: F401  registers the safe globals
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.files import read_checkpoint
from vlpeft.checkpoint.safe_globals import history_statistic


class TinyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs, data_samples=None, mode='loss'):
        value = self.linear(inputs).pow(2).mean()
        return dict(loss=value) if mode == 'loss' else [value]


class NumpyMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(recall=np.float64(1.5), rank=np.int64(3), share=np.float32(0.5))


class WeightsRecorder(Hook):
    """Remembers what the first step starts from."""

    def before_train(self, runner):
        self.start = runner.epoch, runner.model.linear.weight.detach().clone()
        self.history = (
            list(runner.message_hub.log_scalars['train/loss'].data[0])
            if 'train/loss' in runner.message_hub.log_scalars
            else []
        )


def make_runner(work_dir, epochs, resume):
    torch.manual_seed(0)
    data = [dict(inputs=torch.randn(2)) for _ in range(4)]
    loader = dict(
        dataset=data,
        batch_size=2,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    return Runner(
        TinyModel(),
        str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=Evaluator(NumpyMetric()),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[dict(type='LinearLR', end=2, by_epoch=False), dict(type='CosineAnnealingLR', T_max=3)],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='recall', rule='greater')),
        custom_hooks=[dict(type='EMAHook')],
        resume=resume,
        experiment_name=f'{work_dir.name}_{epochs}_{resume}',
    )


def test_runner_checkpoint_resumes(tmp_path):
    first = make_runner(tmp_path, 2, False)
    first.train()
    losses = list(first.message_hub.log_scalars['train/loss'].data[0])
    weight = first.model.linear.weight.detach().clone()

    raw = read_checkpoint(tmp_path / 'epoch_2.pth')
    assert isinstance(raw['message_hub']['log_scalars']['train/loss'], HistoryBuffer)
    assert raw['message_hub']['runtime_info']['best_score'] == 1.5

    recorder = WeightsRecorder()
    second = make_runner(tmp_path, 3, True)
    second.register_hook(recorder, priority='LOWEST')
    second.train()
    assert recorder.start[0] == 2
    assert torch.equal(recorder.start[1], weight)
    assert recorder.history == losses and len(losses) == 4
    assert second.message_hub.log_scalars['train/loss'].mean() == pytest.approx(
        np.mean(second.message_hub.log_scalars['train/loss'].data[0])
    )


def test_numpy_1_names_are_read(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save(dict(array=np.arange(3.0), number=np.float32(2)), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert b'numpy._core.multiarray' in data or b'numpy.core.multiarray' in data
    path.write_bytes(data.replace(b'numpy._core.multiarray', b'numpy.core.multiarray'))
    read = read_checkpoint(path)
    assert read['array'].tolist() == [0, 1, 2] and read['number'] == 2


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


class Sneaky:
    """Asks for another attribute by the access that HistoryBuffer's own pickles use."""

    def __reduce__(self):
        return getattr, (OrderedDict, 'fromkeys')


@pytest.mark.parametrize('through', [read_checkpoint, lambda path: CheckpointLoader.load_checkpoint(str(path))])
def test_malicious_pickle_is_refused(tmp_path, through):
    path, marker = tmp_path / 'bad.pth', tmp_path / 'marker'
    torch.save(dict(state_dict={}, extra=Malicious(marker)), path)
    with pytest.raises((CheckpointError, pickle.UnpicklingError), match='mkdir'):
        through(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)
    assert marker.exists(), 'the file is harmless, so this test shows nothing'


def test_attribute_access_is_refused(tmp_path):
    path = tmp_path / 'sneaky.pth'
    torch.save(dict(extra=Sneaky()), path)
    with pytest.raises(CheckpointError, match='sneaky.pth.*refused'):
        read_checkpoint(path)
    for owner, name in ((HistoryBuffer, '__init__'), (HistoryBuffer, 'statistics'), (os, 'min')):
        with pytest.raises(pickle.UnpicklingError):
            history_statistic(owner, name)
    assert history_statistic(HistoryBuffer, 'mean') is HistoryBuffer.mean


def test_files_are_read_after_another_library_has_forgotten_the_globals(tmp_path):
    """``torch.serialization.safe_globals`` takes away at its end what was declared before it, too."""
    torch.save(dict(state_dict=dict(w=torch.ones(1)), meta=dict(scores=np.ones(2))), tmp_path / 'epoch_1.pth')
    with torch.serialization.safe_globals([np.ndarray, np.dtype]):
        pass
    assert read_checkpoint(tmp_path / 'epoch_1.pth')['meta']['scores'].tolist() == [1, 1]
