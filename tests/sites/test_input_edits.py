"""A method may edit what enters a module, however the caller passes it."""

import copy

import pytest
import torch
from torch import nn

from tests.tiny_seq2seq import BACKBONES, build_adapted, random_texts
from tests.watching import watch
from vlpeft.sites import Attachment, Binding, Tap, checkpoint_blocks
from vlpeft.testing.backbones import WIDTH


class Shift(nn.Module):
    """Adds a trained vector."""

    def __init__(self):
        super().__init__()
        self.vector = nn.Parameter(torch.linspace(-1, 1, WIDTH).double())

    def shift(self, x):
        return x + self.vector

    def zero(self, x):
        return torch.zeros_like(x)

    def shift_by(self, x, other):
        return x + self.vector * other.mean()


def attach(model, depth=1, tap=None, reads=(), method='shift'):
    tower = model.towers['encoder']
    model.unit = Shift()
    binding = Binding('encoder', depth, reads, tap or tower.blocks[depth].input, getattr(model.unit, method))
    model.attachments.append(Attachment([binding], model.towers, model.switch))
    return tower


def states(model):
    ids, mask, _ = random_texts()
    return model.towers['encoder'].module(input_ids=ids, attention_mask=mask)[0]


@pytest.mark.parametrize('backbone', BACKBONES)
def test_a_whole_block_starts_from_the_edited_stream(backbone):
    """At the block's own input, BART passes its stream by position; inside, to its attention, by keyword."""
    model, bare = (build_adapted(backbone, None) for _ in range(2))
    tower = model.towers['encoder']
    block = Tap(f'{tower.block_path}.1', 'input', 'hidden_states')
    attach(model, tap=block)

    def shifted(module, args, kwargs):
        return (args[0] + model.unit.vector, *args[1:]), kwargs

    bare.towers['encoder'].block_modules[1].register_forward_pre_hook(shifted, with_kwargs=True)
    assert torch.equal(states(model), states(bare))
    with model.switch.use(None):
        assert not torch.allclose(states(model), states(bare))
    assert model.attachments[0].never_hit() == []
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.unit.vector.add_(1)
    assert torch.equal(states(model), states(bare)) and not torch.allclose(states(twin), states(bare))


def test_by_keyword_only_the_branch_sees_the_edit():
    model = build_adapted('bart', None)
    attention = model.towers['encoder'].blocks[1].sublayers['self_attn']
    before = watch(model.towers['encoder'].module, attention.x)
    attach(model)
    after = watch(model.towers['encoder'].module, attention.x)
    norm_input = watch(model.towers['encoder'].module, Tap('layers.1.self_attn_layer_norm', 'input'))
    branch = watch(model.towers['encoder'].module, attention.h)
    states(model)
    assert torch.equal(after.value, before.value + model.unit.vector)
    assert torch.equal(norm_input.value, before.value + branch.value)


def test_a_later_positional_argument():
    """BART passes the mask to its blocks as their second argument."""
    model = build_adapted('bart', None)
    attach(model, tap=Tap('layers.1', 'input', 'attention_mask', argument=1), method='zero')
    tower = model.towers['encoder']
    masks = [watch(tower.module, block.mask) for block in tower.blocks]
    streams = [watch(tower.module, tap) for tap in (tower.blocks[0].sublayers['ffn'].y, tower.blocks[1].input)]
    states(model)
    assert masks[0].value.any() and not masks[1].value.any()
    assert torch.equal(streams[0].value, streams[1].value)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_reads_and_checkpointing(backbone):
    """The edited input of the FFN depends on what an earlier tap of the block read."""
    found = []
    for saving in (False, True):
        model = build_adapted(backbone, None)
        block = model.towers['encoder'].blocks[1]
        tower = attach(model, tap=block.sublayers['ffn'].x, reads=(block.sublayers['self_attn'].h,), method='shift_by')
        if saving:
            checkpoint_blocks(tower, model.switch)
        states(model).square().sum().backward()
        found.append(model.unit.vector.grad)
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)
    assert found[0].abs().max() > 1e-3


def test_detaching_restores_the_exact_base():
    model, bare = (build_adapted('bart', None) for _ in range(2))
    attach(model)
    assert not torch.allclose(states(model), states(bare))
    model.attachments[0].detach()
    assert torch.equal(states(model), states(bare))
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
