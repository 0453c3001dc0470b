"""Class tokens of the last blocks equal those of a plain loop over the blocks; the encoder stays as it is."""

import pytest
import torch

from tests.tiny import randomise
from tests.towers import VISION
from vlpeft.models.backbones import cls_levels
from vlpeft.registry import MODELS

SIZE, WIDTH, DEPTH = 16, 16, 4
ARCH = dict(embed_dims=WIDTH, num_layers=DEPTH, num_heads=2, feedforward_channels=32)
VIT = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=SIZE, patch_size=8)
ENCODERS = dict(
    vit=VIT,
    raw=dict(VIT, out_type='raw'),
    clip=dict(VIT, pre_norm=True),
    ast=dict(type='AST', num_frames=40, num_bins=24, patch_size=8, stride=5, arch=ARCH),
    timesformer=dict(type='TimeSformer', num_frames=2, img_size=SIZE, patch_size=8, width=WIDTH, depth=DEPTH, heads=2),
)
SHAPES = dict(ast=(2, 40, 24), timesformer=(2, 3, 3, SIZE, SIZE))


def build(config):
    encoder = randomise(MODELS.build(config)).double()
    encoder.eval()
    return encoder


def draw(name):
    return torch.randn(SHAPES.get(name, (2, 3, SIZE, SIZE)), generator=torch.Generator().manual_seed(0)).double()


def plain_loop(name, encoder, inputs):
    """The normed class token (B, D) after each block."""
    if name == 'timesformer':
        batch, frames = inputs.shape[:2]
        patches = encoder.patch_embed(inputs.flatten(0, 1))[0].view(batch, frames, -1, WIDTH).transpose(1, 2)
        patches = patches + encoder.pos_embed[0, 1:, None] + encoder.time_embed[0, [0, 0, 1]]
        x = torch.cat([(encoder.cls_token + encoder.pos_embed[:, :1]).expand(batch, -1, -1), patches.flatten(1, 2)], 1)
        steps = [lambda x, layer=layer: layer(x, frames) for layer in encoder.layers]
    else:
        patches = encoder.patch_embed(inputs.transpose(1, 2)[:, None] if name == 'ast' else inputs)[0]
        extra = [encoder.cls_token] + ([encoder.dist_token] if name == 'ast' else [])
        x = torch.cat([*(token.expand(len(patches), -1, -1) for token in extra), patches], 1) + encoder.pos_embed
        x, steps = encoder.pre_norm(x), encoder.layers
    levels = []
    for step in steps:
        x = step(x)
        levels.append(encoder.ln1(x)[:, 0])
    return levels


@pytest.mark.parametrize('arch, size', [('base', 85_798_656), ('large', 303_301_632)])
def test_vision_transformers_have_exactly_the_published_size(arch, size):
    with torch.device('meta'):
        encoder = MODELS.build(dict(VIT, arch=arch, img_size=224, patch_size=16))
        assert sum(p.numel() for p in encoder.parameters()) == size
        assert cls_levels(encoder, torch.empty(2, 3, 224, 224), 6).shape == (2, 6, encoder.embed_dims)


@pytest.mark.parametrize('levels', [1, 3, DEPTH])
@pytest.mark.parametrize('name', ENCODERS)
def test_levels_are_those_of_a_plain_loop(name, levels):
    encoder, inputs = build(ENCODERS[name]), draw(name)
    found = cls_levels(encoder, inputs, levels)
    expected = torch.stack(plain_loop(name, encoder, inputs)[-levels:], dim=1)
    assert found.shape == (2, levels, WIDTH)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert (found[:, 1:] - found[:, :-1]).abs().amin(-1).gt(0).all()


@pytest.mark.parametrize('name', ENCODERS)
def test_the_last_level_is_the_normal_output_and_nothing_stays_behind(name):
    encoder, inputs = build(ENCODERS[name]), draw(name)
    before = encoder(inputs)
    last = before if name == 'timesformer' else before[-1]
    last = last if last.ndim == 2 else last[:, 0]
    torch.testing.assert_close(cls_levels(encoder, inputs, 2)[:, -1], last, rtol=1e-12, atol=1e-12)
    with pytest.raises(RuntimeError):
        cls_levels(encoder, inputs.float(), 2)
    assert not any(module._forward_hooks for module in encoder.modules())


def test_gradients_flow_where_wanted():
    encoder, inputs = build(VIT), draw('vit')
    cls_levels(encoder, inputs, 2)[:, 0].square().sum().backward()
    assert encoder.layers[-2].attn.qkv.weight.grad.any() and not encoder.layers[-1].attn.qkv.weight.grad.any()


def test_what_has_no_levels_is_an_error():
    with pytest.raises(
        ValueError, match='no levels are known of the encoder BEiTViT; there are: mmpretrain.Vision.*, AST, TimeSformer'
    ):
        cls_levels(build(VISION['beit']), draw('vit'), 1)
    with pytest.raises(ValueError, match='VisionTransformer has final_norm=False; set encoder.final_norm=True'):
        cls_levels(build(dict(VIT, final_norm=False)), draw('vit'), 1)
    for levels in (0, DEPTH + 1):
        with pytest.raises(ValueError, match=f'levels={levels}; the encoder TimeSformer has 4 blocks'):
            cls_levels(build(ENCODERS['timesformer']), draw('timesformer'), levels)
