"""A warm-up that the run is too short for is said before training."""

import re

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

EPOCHS = dict(by_epoch=True, convert_to_iter_based=True)


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='loss'):
        raise KeyboardInterrupt  # training has begun


def warnings(tmp_path, scheduler, epochs=4, iters=None):
    """What is warned of before the first of 5 iterations an epoch."""
    runner = Runner(
        Model(),
        str(tmp_path),
        default_scope='vlpeft',
        experiment_name=f'{tmp_path.name}',
        train_dataloader=dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=[dict(inputs=torch.ones(1)) for _ in range(5)],
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        param_scheduler=scheduler,
        train_cfg=dict(by_epoch=True, max_epochs=epochs) if iters is None else dict(by_epoch=False, max_iters=iters),
        default_hooks=dict(checkpoint=None, schedule_check=dict(type='ScheduleCheckHook')),
    )
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    (log,) = tmp_path.glob('*/*.log')
    return [line for line in log.read_text().splitlines() if 'WARNING' in line and 'learning rate' in line]


@pytest.mark.parametrize(
    'scheduler, expected',
    [
        (
            dict(type='WarmupLinear', warmup_iters=20, **EPOCHS),
            'WarmupLinear comes to the full learning rate after 20 iterations, but there are 20 iterations of the run',
        ),
        (dict(type='WarmupLinear', warmup_epochs=7, **EPOCHS), 'after 35 iterations, but there are 20 iterations of'),
        (
            dict(type='WarmupCosineLR', warmup_lr=1e-5, min_lr=0, end=4, **EPOCHS),
            'comes to the full learning rate after 401 iterations, but there are 5 iterations of the first',
        ),
        (
            dict(type='LinearLR', start_factor=0.1, end=30, by_epoch=False),
            'LinearLR .* after 29 iterations, but there are 20',
        ),
        (
            dict(type='LinearLR', start_factor=0.1, end=6, by_epoch=True),
            'LinearLR .* after 5 epochs, but there are 4 epochs',
        ),
        (dict(type='LinearLR', start_factor=0.1, end=6, **EPOCHS), 'after 29 iterations, but there are 20'),
        (dict(type='ConstantLR', factor=0.1, end=30, by_epoch=False), 'ConstantLR .* after 29 iterations'),
        (
            [dict(type='CosineAnnealingLR', T_max=4), dict(type='LinearLR', start_factor=0.1, end=30, by_epoch=False)],
            'LinearLR .* after 29',
        ),
    ],
)
def test_a_warm_up_longer_than_the_run_is_said(tmp_path, scheduler, expected):
    (said,) = warnings(tmp_path, scheduler)
    assert re.search(expected, said)


@pytest.mark.parametrize(
    'scheduler',
    [
        dict(type='WarmupLinear', warmup_iters=19, **EPOCHS),
        dict(type='WarmupLinear', warmup_ratio=0.1, **EPOCHS),
        dict(type='WarmupCosineLR', warmup_lr=1e-5, min_lr=0, end=4, warmup_interval=1, warmup_steps=3, **EPOCHS),
        dict(type='LinearLR', start_factor=0.1, end=20, by_epoch=False),
        dict(type='LinearLR', start_factor=0.1, end=4),
        dict(type='LinearLR', start_factor=1, end_factor=0, end=30, by_epoch=False),  # a decay
        dict(type='ConstantLR', factor=1, end=30, by_epoch=False),
        dict(type='CosineAnnealingLR', T_max=9),
        None,
    ],
)
def test_others_are_silent(tmp_path, scheduler):
    assert warnings(tmp_path, scheduler) == []


def test_iterations_are_compared_where_the_run_counts_them(tmp_path):
    schedule = dict(type='WarmupLinear', warmup_iters=8, by_epoch=False)
    assert 'there are 7 iterations of the run' in warnings(tmp_path, schedule, iters=7)[0]
