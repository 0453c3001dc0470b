"""TimeSformer and AST: sites are where the families say, methods act there, norms are declared."""

import copy

import pytest
import torch

from tests.sites.test_seq2seq_families import check_norms
from tests.tiny import randomise
from tests.watching import watch
from vlpeft.registry import ADAPTERS, MODELS
from vlpeft.sites import AdapterSwitch, Attachment, checkpoint_blocks, describe

WIDTH, DEPTH = 16, 2
ENCODERS = dict(
    timesformer=dict(type='TimeSformer', num_frames=3, img_size=16, patch_size=8, width=WIDTH, depth=DEPTH, heads=2),
    ast=dict(
        type='AST',
        num_frames=40,
        num_bins=24,
        patch_size=8,
        stride=5,
        arch=dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=2, feedforward_channels=32),
    ),
)
SHAPES = dict(timesformer=(2, 3, 3, 16, 16), ast=(2, 40, 24))
METHODS = dict(
    lora=dict(type='LoRA', rank=2, targets={}),
    bottleneck=dict(type='Bottleneck', bottleneck=3, targets={}),
    parallel=dict(type='Bottleneck', bottleneck=3, form='parallel', targets={}),
)


def build(name):
    encoder = randomise(MODELS.build(ENCODERS[name])).double()
    encoder.eval()
    return encoder


def run(name, encoder):
    found = encoder(torch.randn(SHAPES[name], generator=torch.Generator().manual_seed(0)).double())
    return found[-1] if isinstance(found, tuple) else found


@pytest.mark.parametrize('name', ENCODERS)
def test_x_plus_h_is_y_and_norms_are_declared(name):
    encoder = build(name)
    tower = describe(encoder, 'encoder')
    assert (tower.name, tower.width, len(tower.blocks)) == ('encoder', WIDTH, DEPTH)
    check_norms(tower)
    captures = [
        [watch(encoder, tap) for tap in (sub.x, sub.h, sub.y)]
        for block in tower.blocks
        for sub in block.sublayers.values()
    ]
    tokens = run(name, encoder).shape[1]
    assert len(captures) == 2 * DEPTH
    for x, h, y in captures:
        assert x.value.shape == h.value.shape == y.value.shape == (2, tokens, WIDTH)
        torch.testing.assert_close(x.value + h.value, y.value, rtol=1e-12, atol=1e-12)
        assert h.value.abs().max() > 0.1


@pytest.mark.parametrize('name', ENCODERS)
def test_linear_sites_are_reached_and_are_the_maps_they_name(name):
    encoder = build(name)
    sites = [
        site
        for block in describe(encoder, 'encoder').blocks
        for sub in block.sublayers.values()
        for site in sub.linears.values()
    ]
    captures = [(watch(encoder, site.input), watch(encoder, site.output), site) for site in sites]
    run(name, encoder)
    assert len(sites) == 6 * DEPTH
    for x, y, site in captures:
        linear = encoder.get_submodule(site.path)
        start, stop = site.span or (0, site.out_features)
        torch.testing.assert_close(y.value, x.value @ linear.weight[start:stop].T + linear.bias[start:stop])


@pytest.mark.parametrize('checkpointed', [False, True])
@pytest.mark.parametrize('method', METHODS)
def test_methods_act_and_leave_no_trace(method, checkpointed):
    """On AST; TimeSformer is one of the backbones of the contract."""
    name = 'ast'
    encoder = build(name)
    keys, bare = set(encoder.state_dict()), run(name, encoder)
    plain = copy.deepcopy(encoder)
    towers = dict(encoder=describe(encoder, 'encoder'))
    adapter = randomise(ADAPTERS.build(METHODS[method], default_args=dict(towers=towers))).double()
    switch = AdapterSwitch()
    attachment = Attachment(adapter.bindings(towers), towers, switch)
    if checkpointed:
        checkpoint_blocks(towers['encoder'], switch)
    adapted = run(name, encoder)
    adapted.square().sum().backward()
    assert not attachment.never_hit() and not torch.allclose(adapted, bare)
    assert all(param.grad.abs().max() > 0 for param in adapter.parameters())
    assert set(encoder.state_dict()) == keys and torch.equal(run(name, plain), bare)
    attachment.detach()
    assert torch.equal(run(name, encoder), bare)


def test_bottlenecks_in_a_timesformer_see_the_stream():
    encoder = build('timesformer')
    towers = dict(encoder=describe(encoder, 'encoder'))
    adapter = randomise(ADAPTERS.build(METHODS['parallel'], default_args=dict(towers=towers))).double()
    captures = {
        f'encoder_{block.depth}_{kind}': [watch(encoder, tap) for tap in (sub.x, sub.h, sub.y)]
        for block in towers['encoder'].blocks
        for kind, sub in block.sublayers.items()
    }
    Attachment(adapter.bindings(towers), towers, AdapterSwitch())
    run('timesformer', encoder)
    assert set(adapter.layers) == set(captures)
    for key, (x, h, y) in captures.items():
        layer = adapter.layers[key]
        down = torch.nn.functional.gelu(x.value @ layer.down.weight.T + layer.down.bias, approximate='tanh')
        added = down @ layer.up.weight.T + layer.up.bias
        torch.testing.assert_close(y.value, x.value + h.value + added, rtol=1e-10, atol=1e-10)
