"""AdamW with eps beside the uncorrected root and decay after the step."""

import math

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from vlpeft.engine.optim import HFAdamW
from vlpeft.registry import OPTIMIZERS

GRADIENTS = torch.randn(7, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1e-5


def by_hand(value, gradients, lr, beta1, beta2, eps, decay):
    """One number's updates, in the order that the module states."""
    mean = square = 0.0
    for t, g in enumerate(gradients, 1):
        mean = beta1 * mean + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * g * g
        value -= lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) * mean / (math.sqrt(square) + eps)
        value -= lr * decay * value
    return value


def run(optimizer, gradients=GRADIENTS):
    """The optimiser's first parameter after a step with each of the gradients."""
    param = optimizer.param_groups[0]['params'][0]
    for gradient in gradients:
        param.grad = gradient.clone()
        optimizer.step()
    return param.detach()


def start():
    return nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64).view(2, 3))


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.3),
        dict(lr=1e-3, eps=1e-6, weight_decay=0.01),
        dict(betas=(0.0, 0.0)),
        dict(lr=0.0),
    ],
)
def test_every_number_moves_by_the_formula(options):
    found = run(HFAdamW([start()], **options))
    used = dict(dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0), **options)
    begun = start().detach()
    for row in range(2):
        for column in range(3):
            expected = by_hand(
                float(begun[row, column]),
                GRADIENTS[:, row, column].tolist(),
                used['lr'],
                *used['betas'],
                used['eps'],
                used['weight_decay'],
            )
            assert float(found[row, column]) == pytest.approx(expected, rel=1e-13, abs=0)


def test_without_eps_and_decay_it_is_adam():
    found = run(HFAdamW([start()], lr=0.01, eps=0.0))
    torch.testing.assert_close(found, run(torch.optim.Adam([start()], lr=0.01, eps=0.0)), rtol=1e-13, atol=1e-15)


def test_with_eps_the_first_step_is_smaller_than_torch_s():
    """At the first update √v is 0.0316 |g|, and eps stands beside that instead of beside |g|."""
    gradient = torch.full((1, 2, 3), 1e-5, dtype=torch.float64)
    ours = (start() - run(HFAdamW([start()], lr=0.01, eps=1e-6), gradient)).detach()
    theirs = (start() - run(torch.optim.AdamW([start()], lr=0.01, eps=1e-6, weight_decay=0.0), gradient)).detach()
    root = math.sqrt(0.001) * 1e-5
    torch.testing.assert_close(ours, torch.full_like(ours, 0.01 * root / (root + 1e-6)), rtol=1e-10, atol=0)
    torch.testing.assert_close(theirs, torch.full_like(ours, 0.01 / 1.1), rtol=1e-10, atol=0)


def test_parameters_without_gradient_stay_even_under_decay():
    frozen, moved = start(), start()
    optimizer = HFAdamW([moved, frozen], lr=0.1, weight_decay=0.5)
    run(optimizer)
    assert torch.equal(frozen, start()) and frozen not in optimizer.state


def test_a_resumed_run_equals_an_uninterrupted_one():
    options = dict(lr=0.01, weight_decay=0.1)
    whole = run(HFAdamW([start()], **options))
    first = HFAdamW([start()], **options)
    half = run(first, GRADIENTS[:3])
    second = HFAdamW([nn.Parameter(half.clone())])
    second.load_state_dict(first.state_dict())
    assert torch.equal(run(second, GRADIENTS[3:]), whole)


def test_a_closure_s_loss_is_returned():
    param = start()
    optimizer = HFAdamW([param])

    def closure():
        optimizer.zero_grad()
        loss = param.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == pytest.approx(start().square().sum().item())


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(lr=-1e-3), 'lr must be 0 or more, got -0.001'),
        (dict(eps=-1), 'eps must be 0 or more, got -1'),
        (dict(weight_decay=-1), 'weight_decay must be 0 or more'),
        (dict(betas=(0.9, 1.0)), r'below 1, got \(0.9, 1.0\)'),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        HFAdamW([start()], **options)


def test_configs_name_it_and_groups_keep_their_decay():
    model = nn.Linear(2, 2)
    cfg = dict(
        type='OptimWrapper',
        constructor='TrainableOptimWrapperConstructor',
        optimizer=dict(type='HFAdamW', lr=1e-3, weight_decay=0.01),
        paramwise_cfg=dict(bias_decay_mult=0.0),
    )
    with DefaultScope.overwrite_default_scope('vlpeft'):
        optimizer = build_optim_wrapper(model, cfg).optimizer
    assert isinstance(optimizer, HFAdamW) and OPTIMIZERS.get('HFAdamW') is HFAdamW
    assert {group['params'][0].ndim: group['weight_decay'] for group in optimizer.param_groups} == {2: 0.01, 1: 0.0}
