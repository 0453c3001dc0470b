"""Gradient accumulation: clipping at the update only, incomplete cycles, and the length of the schedule."""

import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from tests.toy_tasks import noted, toy_config, write_sets
from vlpeft.registry import OPTIM_WRAPPERS

LIMIT = 0.4


def train(config):
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'MixedPrecisionOptimWrapper'])
def test_two_half_batches_with_clipping_are_one_batch(wrapper):
    """Five batches in cycles of two, with gradients that a clip of each batch would not leave the same."""
    batches = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1))
    batches *= torch.tensor([30.0, 1.0, 2.0, 50.0, 1.0])[:, None, None]

    def loss_of(weight, batch):
        return (weight * batch).sum(1).square().mean()  # elementwise: the same under autocast

    weight = nn.Parameter(torch.tensor([0.3, -0.2, 0.5]))
    optimizer = torch.optim.SGD([weight], lr=0.01)
    wrapped = OPTIM_WRAPPERS.build(
        dict(type=wrapper, optimizer=optimizer, accumulative_counts=2, clip_grad=dict(max_norm=LIMIT))
    )
    wrapped.initialize_count_status(nn.Identity(), 0, len(batches))
    for batch in batches:
        with wrapped.optim_context(nn.Identity()):
            loss = loss_of(weight, batch)
        wrapped.update_params(loss)
    expected = torch.tensor([0.3, -0.2, 0.5])
    for joined in (torch.cat([*batches[:2]]), torch.cat([*batches[2:4]]), batches[4]):
        (gradient,) = torch.autograd.grad(loss_of(expected.requires_grad_(), joined), expected)
        expected = expected.detach() - 0.01 * gradient * min(1, LIMIT / float(gradient.norm()))
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('epochs', [1, 3])
def test_a_run_on_half_batches_makes_the_updates_of_one_on_whole_batches(tmp_path, epochs):
    """10 samples: batches of 4, 4, 2; in halves 2+2, 2+2 and an incomplete cycle of one, in every epoch."""
    write_sets(tmp_path, vqa=10)
    options = dict(tasks=('vqa',), clip=dict(max_norm=LIMIT), epochs=epochs)
    whole = noted(train(toy_config(tmp_path, 'whole', batch_size=4, **options)))
    halves = noted(train(toy_config(tmp_path, 'halves', batch_size=2, accumulate=2, **options)))
    assert len(whole) == len(halves) == 3 * epochs
    for (_, found), (_, expected) in zip(halves, whole):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    norms = [float(gradient.norm()) for _, gradient in whole]
    assert max(norms) == pytest.approx(LIMIT, rel=1e-4)


def test_the_schedule_is_as_long_as_the_run(tmp_path):
    """The rate falls linearly over all 10 iterations, whether they are updates or not."""
    write_sets(tmp_path, vqa=10)
    for accumulate, expected in ((1, range(10)), (2, (1, 3, 4, 6, 8, 9))):
        runner = train(
            toy_config(
                tmp_path,
                f'run{accumulate}',
                ('vqa',),
                batch_size=2,
                accumulate=accumulate,
                param_scheduler=dict(
                    type='LinearLR',
                    start_factor=1,
                    end_factor=0,
                    begin=0,
                    end=2,
                    by_epoch=True,
                    convert_to_iter_based=True,
                ),
            )
        )
        rates = [rate for rate, _ in noted(runner)]
        assert rates == pytest.approx([0.1 * (1 - step / 9) for step in expected])
