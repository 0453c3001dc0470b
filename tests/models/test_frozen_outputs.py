"""The momentum pass reuses what no trained weight had a part in, and nothing else; it computes the same."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from tests.tiny import build_retriever, random_batch, retriever_config, write_vocabulary
from vlpeft.models.frozen_outputs import FrozenOutputs

UNIADAPTER = dict(type='UniAdapter', bottleneck=4)
UPPER = dict(type='Bottleneck', bottleneck=4, targets=dict(towers=['vision'], depths=[1]))
# How often a step computes the patches, and attention and the first half of the FFN of both blocks.
RUNS = [
    (dict(adapter=None), [1, 1, 1, 1, 1]),
    (dict(adapter=UNIADAPTER), [1, 1, 1, 2, 2]),
    # The method acts behind the attention of the second block, so the FFN there reads what differs.
    (dict(adapter=UPPER), [1, 1, 1, 1, 2]),
    # What a method reads inside of attention it reads in both passes.
    (dict(adapter=dict(type='LoRA', rank=2, targets=dict(towers=['vision'], linears=['q']))), [1, 1, 2, 2, 2]),
    (dict(adapter=dict(type='LST', reduction=2, heads=2, output='add', dropout=0.0)), [1, 1, 1, 1, 1]),
    # The side network draws, behind the last block.
    (dict(adapter=dict(type='LST', reduction=2, heads=2, output='add')), [1, 1, 1, 1, 1]),
    (dict(adapter=None, trainable='all'), [2, 2, 2, 2, 2]),
]


def counted(vision):
    """How often the five modules have run, as they run."""
    places = ['patch_embed.projection'] + [
        f'layers.{depth}.{part}' for depth in (0, 1) for part in ('attn.qkv', 'ffn.layers.0.0')
    ]
    counts = [0] * len(places)

    def count_at(place, forward):
        def count(*args, **kwargs):
            counts[place] += 1
            return forward(*args, **kwargs)

        return count

    for number, name in enumerate(places):
        module = vision.get_submodule(name)
        module.forward = count_at(number, module.forward)
    return counts


def step(model, batch):
    """Losses, gradients and the queue of a training step."""
    torch.manual_seed(0)
    losses = model.loss(*batch)
    params = [param for param in model.parameters() if param.requires_grad]
    grads = torch.autograd.grad(sum(losses.values()), params, allow_unused=True)
    return [*losses.values(), *grads, model.queue.vision.clone(), model.queue.text.clone()]


@pytest.mark.parametrize('options, runs', RUNS)
def test_what_is_frozen_below_the_first_trained_weight_runs_once(tmp_path, monkeypatch, options, runs):
    vocabulary, batch = write_vocabulary(tmp_path), random_batch()
    model = build_retriever(vocabulary=vocabulary, **options).train()
    counts = counted(model.vision)
    before = {module: module.__dict__.get('forward') for module in model.modules()}
    found = step(model, batch)
    assert counts == runs
    assert before == {module: module.__dict__.get('forward') for module in model.modules()}
    monkeypatch.setattr(FrozenOutputs, 'reuse', lambda self: nullcontext())
    other = build_retriever(vocabulary=vocabulary, **options).train()
    counts = counted(other.vision)
    for mine, expected in zip(found, step(other, batch), strict=True):
        assert (mine is None) == (expected is None)
        assert mine is None or torch.equal(mine, expected)
    assert counts == [2] * 5


def test_a_tower_with_dropout_draws_anew(tmp_path):
    vision = dict(retriever_config()['vision'], drop_rate=0.1)
    model = build_retriever(vocabulary=write_vocabulary(tmp_path), vision=vision).train()
    counts = counted(model.vision)
    model.loss(*random_batch())
    # Of the patches alone: the next is dropout.
    assert counts == [1, 2, 2, 2, 2]


def test_without_gradients_nothing_is_taken_for_frozen(tmp_path):
    model = build_retriever(vocabulary=write_vocabulary(tmp_path), adapter=UNIADAPTER)
    counts = counted(model.vision)
    with torch.no_grad():
        model.loss(*random_batch())
    assert counts == [2] * 5


class Odd(nn.Module):
    """Calls one map twice, changes an output in place, and trains what comes last."""

    def __init__(self):
        super().__init__()
        self.twice, self.changed, self.trained = (nn.Linear(3, 3) for _ in range(3))
        self.twice.requires_grad_(False)
        self.changed.requires_grad_(False)

    def forward(self, x):
        x = self.twice(self.twice(x).relu())
        y = self.changed(x)
        y += 1
        return self.trained(y)


def test_repeated_calls_and_changes_in_place_are_computed_anew():
    torch.manual_seed(0)
    tower, x = Odd(), torch.randn(2, 3)
    frozen = FrozenOutputs(tower)
    with frozen.keep():
        first = tower(x)
    with torch.no_grad():
        tower.trained.weight.mul_(2)
        with frozen.reuse():
            second = tower(x)
        expected = tower(x)
    assert torch.equal(second, expected) and not torch.equal(first, second)
    assert not frozen.outputs
