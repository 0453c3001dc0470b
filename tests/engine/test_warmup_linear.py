"""The linear schedule: its law, its lengths, other libraries' values, real runs and what is refused."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn
from transformers import get_linear_schedule_with_warmup

from vlpeft.registry import PARAM_SCHEDULERS

CONFIGS = Path(__file__).parents[2] / 'configs'
RATE = 3e-4
EPOCHS = dict(by_epoch=True, convert_to_iter_based=True)


def wrapper(*rates):
    groups = [dict(params=[nn.Parameter(torch.zeros(1))], lr=rate) for rate in rates or (RATE,)]
    return OptimWrapper(torch.optim.SGD(groups, lr=RATE))


def build(optim_wrapper, length=10, **options):
    with DefaultScope.overwrite_default_scope('vlpeft'):
        return PARAM_SCHEDULERS.build(
            dict(type='WarmupLinear', **options), default_args=dict(optimizer=optim_wrapper, epoch_length=length)
        )


def rates(optim_wrapper, scheduler, steps):
    """The rates of iterations 0 to ``steps`` of every group."""
    found = []
    for _ in range(steps + 1):
        found.append([group['lr'] for group in optim_wrapper.optimizer.param_groups])
        optim_wrapper.step()
        scheduler.step()
    return found


def law(k, warmup, total):
    return Fraction(k, warmup) if k < warmup else Fraction(total - k, total - warmup)


@pytest.mark.parametrize(
    'options, length, warmup, total',
    [
        (dict(end=20, warmup_ratio=0.1, **EPOCHS), 13, 26, 260),
        (dict(end=7, warmup_ratio=0.1, **EPOCHS), 9, 6, 63),  # 6.3 iterations are 6
        (dict(end=4, warmup_iters=7, **EPOCHS), 5, 7, 20),
        (dict(end=4, warmup_epochs=0.5, **EPOCHS), 6, 3, 24),
        (dict(end=3, warmup_epochs=2, **EPOCHS), 5, 10, 15),
        (dict(end=30, warmup_iters=4, by_epoch=False), 99, 4, 30),
        (dict(end=30, warmup_ratio=0.1, by_epoch=False), 99, 3, 30),
        (dict(end=30, warmup_iters=0, by_epoch=False), 99, 0, 30),
        (dict(end=30, warmup_iters=1, by_epoch=False), 99, 1, 30),
    ],
)
def test_the_law_to_the_last_digit(options, length, warmup, total):
    optim_wrapper = wrapper(RATE, 1e-2)
    found = rates(optim_wrapper, build(optim_wrapper, length, **options), total + 3)
    for k, (first, second) in enumerate(found[: total + 1]):
        factor = float(law(k, warmup, total))
        assert first == pytest.approx(RATE * factor, rel=1e-12, abs=0), k
        assert second == pytest.approx(1e-2 * factor, rel=1e-12, abs=0), k
    assert found[warmup] == [RATE, 1e-2] and found[total:] == [[0, 0]] * 4


@pytest.mark.parametrize('warmup, total', [(0, 17), (1, 17), (5, 17), (16, 17), (17, 17), (40, 17)])
def test_transformers_has_the_same_schedule(warmup, total):
    optim_wrapper = wrapper()
    found = rates(optim_wrapper, build(optim_wrapper, end=total, warmup_iters=warmup, by_epoch=False), total)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=RATE)
    theirs = get_linear_schedule_with_warmup(optimizer, warmup, total)
    for k, (rate,) in enumerate(found[:total]):
        assert rate == pytest.approx(optimizer.param_groups[0]['lr'], rel=1e-12, abs=0), k
        optimizer.step()
        theirs.step()


def test_a_resumed_schedule_goes_on_exactly():
    options = dict(end=40, warmup_iters=9, by_epoch=False)
    whole, first, second = wrapper(), wrapper(), wrapper()
    expected = rates(whole, build(whole, **options), 40)
    early, late = build(first, **options), build(second, **options)
    rates(first, early, 5)
    second.load_state_dict(first.state_dict())
    late.load_state_dict(early.state_dict())
    assert rates(second, late, 34) == expected[6:]


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='loss'):
        return dict(loss=(self.weight * inputs[0]).sum())


class Rates(Hook):
    def __init__(self):
        self.found = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.found.append(runner.optim_wrapper.optimizer.param_groups[0]['lr'])


@pytest.mark.parametrize(
    'recipe, rate, epochs, warmup',
    [
        # Five iterations an epoch, of which a tenth are the warm-up: 10 of 100, and 3.5 of 35.
        ('vl_pet/vlpet-large_bart-base_image.py', 1e-3, 20, 10),
        ('vl_pet/vlpet-large_t5-base_image.py', 3e-4, 20, 10),
        ('vl_pet/vlpet-small_bart-base_video.py', 7e-4, 20, 10),
        ('bottleneck/vl-adapter_bart-base_video.py', 3e-4, 7, 3),
        ('baselines/bart-base_image_full.py', 1e-4, 20, 10),
    ],
)
def test_recipes_train_with_these_rates(tmp_path, recipe, rate, epochs, warmup):
    config = Config.fromfile(CONFIGS / recipe, format_python_code=False)
    noted = Rates()
    Runner(
        Model(),
        str(tmp_path),
        default_scope='vlpeft',
        experiment_name=Path(recipe).stem,
        custom_hooks=[noted],
        train_dataloader=dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=[dict(inputs=torch.ones(1)) for _ in range(5)],
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=config.optim_wrapper.optimizer.lr)),
        param_scheduler=config.param_scheduler,
        train_cfg=dict(by_epoch=True, max_epochs=config.train_cfg.max_epochs),
        default_hooks=dict(checkpoint=None),
    ).train()
    expected = [rate * float(law(k, warmup, 5 * epochs)) for k in range(5 * epochs)]
    assert noted.found == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(end=4), 'WarmupLinear takes one of warmup_iters, warmup_ratio; got none'),
        (dict(end=4, **EPOCHS), 'takes one of warmup_iters, warmup_epochs, warmup_ratio; got none'),
        (dict(end=4, warmup_iters=3, warmup_ratio=0.1), "takes one of .*'warmup_ratio': 0.1"),
        (dict(end=4, warmup_iters=-1), 'warmup_iters must be a whole number, 0 or more, got -1'),
        (dict(end=4, warmup_iters=0.1), 'warmup_iters must be a whole number, 0 or more, got 0.1'),
        (dict(end=4, warmup_ratio=1.1), 'warmup_ratio must be between 0 and 1, got 1.1'),
        (dict(end=4, warmup_epochs=-1, **EPOCHS), 'warmup_epochs must be 0 or more, got -1'),
        (dict(end=4, warmup_epochs=1), 'needs by_epoch=True, convert_to_iter_based=True'),
        (dict(end=4, warmup_ratio=0.1, by_epoch=True), 'add convert_to_iter_based=True'),
    ],
)
def test_impossible_warm_ups_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(wrapper(), **{'by_epoch': False, **options})


def test_epochs_are_never_taken_for_iterations():
    """What the runner builds from a config that says neither ``by_epoch`` nor how to convert."""
    with pytest.raises(ValueError, match='WarmupLinear counts iterations'):
        build(wrapper(), end=20, warmup_ratio=0.1)
