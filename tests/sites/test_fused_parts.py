"""Edits of the parts of a fused projection: one hook for all of a run, the values that a hook for each would give."""

import pytest
import torch
from torch import nn

from vlpeft.sites import AdapterSwitch, Attachment, Binding, Tap, describe
from vlpeft.testing import SUBJECTS


class Unit(nn.Module):
    """y ← a y + b x, b 1 x of the outputs read."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def scale(self, y, *reads):
        return self.factor * y + sum(read.mean(-1, keepdim=True) for read in reads)


PATH = 'h.1.attn.c_attn'
Q, K, V = (Tap(PATH, 'output', span=(start, start + 16)) for start in (0, 16, 32))
INPUT = Tap(PATH, 'input')


def attached(bindings):
    """What enters the projection and what leaves it, how many hooks it has, the units."""
    model = SUBJECTS['gpt2'].model().transformer
    tower = describe(model, 'lm')
    units = [Unit(factor).double() for _, _, factor in bindings]
    attachment = Attachment(
        [Binding('lm', 1, reads, write, unit.scale) for unit, (reads, write, _) in zip(units, bindings)],
        dict(lm=tower),
        AdapterSwitch(),
    )
    module, seen = model.get_submodule(PATH), {}
    hooks = len(module._forward_hooks)
    handle = module.register_forward_hook(lambda _, args, output: seen.update(x=args[0], y=output))
    model(input_ids=torch.tensor([[3, 4, 5], [6, 7, 8]]), use_cache=False)
    handle.remove()
    return seen['x'].detach(), seen['y'], hooks, units, attachment


def plain(x):
    """The projection of a model without edits."""
    model = SUBJECTS['gpt2'].model().transformer
    module = model.get_submodule(PATH)
    return x @ module.weight + module.bias


@pytest.mark.parametrize(
    'bindings, hooks',
    [
        # Reads of the input do not hinder; the order of parts does not matter.
        ([((INPUT,), V, 2.0), ((), Q, 3.0), ((INPUT,), K, -1.0)], 1),
        ([((INPUT,), K, 2.0)], 1),
        # The second change of a part acts on the first one's.
        ([((), Q, 2.0), ((), K, 5.0), ((INPUT,), Q, 3.0), ((), V, 2.0)], 2),
        # What reads a part sees it changed.
        ([((), Q, 2.0), ((Q,), V, 3.0)], 3),
    ],
)
def test_values_are_those_of_one_edit_after_the_other(bindings, hooks):
    with torch.no_grad():
        x, y, found, _, attachment = attached(bindings)
        expected = plain(x)
        for reads, write, factor in bindings:
            start, stop = write.span
            read = [x if tap is INPUT else expected[..., slice(*tap.span)].clone() for tap in reads]
            expected[..., start:stop] = factor * expected[..., start:stop] + sum(r.mean(-1, keepdim=True) for r in read)
    assert found == hooks
    assert torch.allclose(y, expected, rtol=1e-12, atol=1e-12)
    assert [edit.hits for edit in attachment.edits] == [1] * len(bindings)


def test_gradients_reach_every_part_and_what_is_between():
    x, y, _, units, _ = attached([((INPUT,), Q, 2.0), ((), V, 3.0)])
    y.square().sum().backward()
    # d/da of Σ (a q + m)² is Σ 2 (a q + m) q.
    for unit, tap in zip(units, (Q, V)):
        rows = slice(*tap.span)
        expected = (2 * y[..., rows] * plain(x)[..., rows]).sum()
        assert torch.allclose(unit.factor.grad, expected, rtol=1e-10)
