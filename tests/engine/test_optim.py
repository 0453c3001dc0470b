"""Mixed precision on the CPU, the optimiser's contents, and the schedule of configs/_base_/schedules."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import CosineAnnealingLR, OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from vlpeft.engine.optim import MixedPrecisionOptimWrapper
from vlpeft.registry import OPTIM_WRAPPERS

SCHEDULE = Path(__file__).parents[2] / 'configs/_base_/schedules/adamw_cosine_5e.py'


def make(dtype='bfloat16', lr=0.5, **kwargs):
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.3, -0.7, 0.2], [0.9, 0.4, -0.6]]))
        model.bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    wrapper = OPTIM_WRAPPERS.build(dict(type='MixedPrecisionOptimWrapper', optimizer=optimizer, dtype=dtype, **kwargs))
    return model, wrapper


def build(model, cfg):
    """As the runner does under ``default_scope='vlpeft'``."""
    with DefaultScope.overwrite_default_scope('vlpeft'):
        return build_optim_wrapper(model, cfg)


def step(model, wrapper, x):
    with wrapper.optim_context(model):
        y = model(x)
    wrapper.update_params(y.float().square().mean())
    return y


X = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])


def test_bfloat16_forward_float32_parameters():
    model, wrapper = make()
    before = model.weight.detach().clone()
    y = step(model, wrapper, X)
    assert y.dtype == torch.bfloat16
    assert model.weight.dtype == torch.float32
    assert not torch.equal(model.weight, before)
    assert torch.is_autocast_enabled('cpu') is False
    # The step is the float32 one up to bfloat16's rounding of the forward and backward pass.
    reference, _ = make()
    loss = reference(X).square().mean()
    loss.backward()
    expected = before - 0.5 * reference.weight.grad
    torch.testing.assert_close(model.weight.detach(), expected, rtol=0.03, atol=0.01)
    assert not torch.equal(model.weight, expected)


def test_accumulation_steps_once_in_two_iterations_with_half_of_each_loss():
    model, wrapper = make(accumulative_counts=2)
    start = model.weight.detach().clone()
    step(model, wrapper, X)
    assert torch.equal(model.weight, start)
    step(model, wrapper, X)
    once, wrapper_once = make()
    step(once, wrapper_once, X)
    torch.testing.assert_close(model.weight, once.weight)


def test_gradient_clipping_bounds_the_step():
    model, wrapper = make(clip_grad=dict(max_norm=0.01), lr=1.0)
    before = [p.detach().clone() for p in model.parameters()]
    step(model, wrapper, X)
    moved = torch.cat([(p - b).flatten() for p, b in zip(model.parameters(), before)]).norm()
    assert moved.item() == pytest.approx(0.01, rel=1e-4)


def test_resumed_training_equals_uninterrupted():
    model, wrapper = make()
    step(model, wrapper, X)
    state = copy.deepcopy(dict(model=model.state_dict(), optim=wrapper.state_dict()))
    step(model, wrapper, X)
    resumed, resumed_wrapper = make()
    resumed.load_state_dict(state['model'])
    resumed_wrapper.load_state_dict(state['optim'])
    step(resumed, resumed_wrapper, X)
    assert torch.equal(resumed.weight, model.weight)


def test_bfloat16_and_full_precision_runs_resume_each_other():
    model, wrapper = make()
    step(model, wrapper, X)
    full = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    full.load_state_dict(wrapper.state_dict())
    assert full.get_lr() == {'lr': [0.5]}
    again, again_wrapper = make(lr=0.3)
    again_wrapper.load_state_dict(full.state_dict())
    assert again_wrapper.get_lr() == {'lr': [0.5]}
    assert set(wrapper.state_dict()) == set(full.state_dict())


@pytest.mark.parametrize(
    'dtype, message',
    [('float64', "'float64', valid: bfloat16, float16")]
    + ([] if torch.cuda.is_available() else [('float16', 'needs a GPU')]),
)
def test_impossible_dtypes_are_refused(dtype, message):
    with pytest.raises(ValueError, match=message):
        make(dtype)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='float16 needs a GPU')
def test_float16_scales_the_loss_and_keeps_the_scale_in_the_checkpoint():
    model = nn.Linear(3, 2).cuda()
    wrapper = MixedPrecisionOptimWrapper(
        dtype='float16', loss_scale=128.0, optimizer=torch.optim.SGD(model.parameters(), lr=0.1)
    )
    y = step(model, wrapper, X.cuda())
    assert y.dtype == torch.float16
    assert wrapper.state_dict()['loss_scaler']['scale'] == 128.0


@pytest.mark.parametrize('paramwise_cfg', [None, dict(norm_decay_mult=0.0, custom_keys={'head': dict(lr_mult=2.0)})])
def test_only_trainable_parameters_reach_the_optimiser(paramwise_cfg):
    model = nn.Sequential()
    model.base = nn.Linear(2, 2).requires_grad_(False)
    model.norm = nn.LayerNorm(2)
    model.head = nn.Linear(2, 2)
    model.head.bias.requires_grad_(False)
    cfg = Config.fromfile(SCHEDULE).optim_wrapper
    wrapper = build(model, dict(cfg, paramwise_cfg=paramwise_cfg))
    inside = [id(p) for group in wrapper.optimizer.param_groups for p in group['params']]
    assert sorted(inside) == sorted(id(p) for p in (model.norm.weight, model.norm.bias, model.head.weight))
    if paramwise_cfg:
        assert sorted(group['lr'] for group in wrapper.optimizer.param_groups) == [1e-4, 1e-4, 2e-4]
    model.requires_grad_(False)
    with pytest.raises(ValueError, match='nothing to train'):
        build(model, cfg)


def test_schedule_is_a_cosine_that_steps_per_epoch():
    cfg = Config.fromfile(SCHEDULE)
    wrapper = build(nn.Linear(2, 2), cfg.optim_wrapper)
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert wrapper.optimizer.param_groups[0]['weight_decay'] == 0.05
    scheduler_cfg = dict(cfg.param_scheduler)
    assert scheduler_cfg.pop('type') == 'CosineAnnealingLR'
    assert scheduler_cfg.pop('convert_to_iter_based') is False
    scheduler = CosineAnnealingLR(wrapper, **scheduler_cfg)
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append(wrapper.get_lr()['lr'][0])
        wrapper.step()
        scheduler.step()
    # 1e-4 * (1 + cos(pi * epoch / 5)) / 2; the zero would be epoch 5's.
    assert rates == pytest.approx([1e-4, 9.04508497e-5, 6.54508497e-5, 3.45491503e-5, 9.5491503e-6], rel=1e-8)


def test_the_log_counts_parameters_instead_of_listing_them(tmp_path):
    model = nn.ModuleDict({f'block{i}': nn.Linear(3, 3) for i in range(20)})
    for i in range(15):
        model[f'block{i}'].requires_grad_(False)
    model['tied'] = nn.Linear(3, 3)
    model['tied'].weight = model['block19'].weight
    logger = MMLogger.get_instance('counting', log_file=str(tmp_path / 'log.txt'))
    build(
        model,
        dict(
            constructor='TrainableOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=0.5, weight_decay=0.25),
            paramwise_cfg=dict(bias_decay_mult=0.0),
        ),
    )
    logger.warning('afterwards, is skipped since its requires_grad=False')
    for handler in logger.handlers:
        handler.flush()
    lines = (tmp_path / 'log.txt').read_text().splitlines()
    # 5 trained blocks and the bias of the tied map; 15 frozen blocks.
    assert len(lines) == 2 and lines[0].endswith(
        'optimizer: 11 parameter tensors (5 with lr=0.5, weight_decay=0.25; 6 with lr=0.5, weight_decay=0); '
        '30 frozen ones left out'
    )
    assert 'afterwards' in lines[1]
