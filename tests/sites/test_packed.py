"""Towers whose samples pass as one sequence, and those that add to the stream in place."""

import copy

import pytest
import torch
from torch import nn

import vlpeft
from tests import tiny_vlms
from tests.sites.test_stacks import tiny
from vlpeft.sites import SiteError, find_towers

PACKED = ['qwen2_vl', 'qwen2_5_vl', 'qwen3_vl', 'glm4v', 'mistral3']


def attached(name, config):
    model, inputs = tiny(name)
    plain = copy.deepcopy(model)
    adapter = vlpeft.attach(model, config, check_after=0)
    adapter.double()
    for param in adapter.sets.parameters():
        nn.init.normal_(param, std=0.3, generator=torch.Generator().manual_seed(param.numel()))
    return adapter, plain, inputs


@pytest.mark.parametrize('name', PACKED)
def test_lora_is_that_of_the_rows_of_the_fused_weights(name):
    adapter, plain, inputs = attached(name, dict(type='LoRA', rank=2, alpha=6, targets=dict(towers=['vision'])))
    before = plain(**inputs).logits
    tower = find_towers(plain)['vision']
    for block in tower.blocks:
        for kind, sub in block.sublayers.items():
            for role, site in sub.linears.items():
                unit = adapter.sets['default'].layers[f'vision_{block.depth}_{kind}_{role}']
                start, stop = site.span or (0, site.out_features)
                tower.at(site.path).weight.data[start:stop] += 3 * (unit.up.weight @ unit.down.weight).detach()
    torch.testing.assert_close(adapter(**inputs).logits, plain(**inputs).logits, rtol=1e-8, atol=1e-9)
    assert not torch.allclose(before, plain(**inputs).logits, atol=1e-3)


@pytest.mark.parametrize('name', PACKED)
def test_bottlenecks_behind_each_branch(name):
    """h + up(gelu(down(h))), by plain hooks on the attention and the FFN of each block."""
    adapter, plain, inputs = attached(name, dict(type='Bottleneck', bottleneck=3, targets=dict(towers=['vision'])))
    layers = adapter.sets['default'].layers
    for depth, block in enumerate(find_towers(plain)['vision'].block_modules):
        pieces = dict(self_attn=('attn', 'attention'), ffn=('mlp', 'feed_forward'))
        for kind, names in pieces.items():
            module = next(getattr(block, piece) for piece in names if hasattr(block, piece))

            def restated(module, args, output, layer=layers[f'vision_{depth}_{kind}']):
                h = output[0] if isinstance(output, tuple) else output
                h = h + layer.up(nn.functional.gelu(layer.down(h), approximate='tanh'))
                return (h, *output[1:]) if isinstance(output, tuple) else h

            module.register_forward_hook(restated)
    torch.testing.assert_close(adapter(**inputs).logits, plain(**inputs).logits, rtol=1e-8, atol=1e-9)
    assert not adapter.never_hit()


@pytest.mark.parametrize('name', PACKED)
def test_uniadapter_adds_its_formula(name):
    config = dict(type='UniAdapter', share='none', modalities=('vision',), bottleneck=3, init='normal')
    adapter, plain, inputs = attached(name, config)
    units = adapter.sets['default'].layers['vision']
    for depth, block in enumerate(find_towers(plain)['vision'].block_modules):
        norm, ffn = (
            next(getattr(block, piece) for piece in pieces if hasattr(block, piece))
            for pieces in (('norm2', 'ffn_norm'), ('mlp', 'feed_forward'))
        )
        kept = {}
        norm.register_forward_pre_hook(lambda module, args, kept=kept: kept.update(x=args[0]))

        def restated(module, args, output, unit=units[depth], kept=kept):
            return output + 0.1 * unit.up_vision(torch.relu(unit.down(unit.norm(kept['x']))))

        ffn.register_forward_hook(restated)
    torch.testing.assert_close(adapter(**inputs).logits, plain(**inputs).logits, rtol=1e-8, atol=1e-9)
    assert not adapter.never_hit()


@pytest.mark.parametrize('name', PACKED)
def test_what_mixes_tokens_is_refused(name):
    for method in (
        dict(type='VLPET', granularity='small', targets=dict(towers=['vision']), value_bottleneck=None),
        dict(type='LST', reduction=2, heads=2, targets=dict(towers=['vision'])),
        dict(type='VPT', length=2),
    ):
        with pytest.raises(SiteError, match='packed|one sequence'):
            vlpeft.attach(tiny_vlms.build(name), method)


def test_sets_per_sample_are_refused_even_where_the_numbers_would_fit():
    """Two tokens are not two samples."""
    adapter, _, inputs = attached('qwen2_vl', dict(type='LoRA', rank=2, targets=dict(towers=['vision'])))
    tokens = len(inputs['pixel_values'])
    with pytest.raises(SiteError, match='one sequence'):
        adapter.per_sample(['default'] * tokens)
    # So it is where sets are chosen without the handle, as task models do.
    message = r'sets per sample cannot act at vision\.0:.*is packed'
    with adapter.hooks.switch.per_sample(['default'] * tokens), pytest.raises(SiteError, match=message):
        adapter(**inputs)


def test_what_is_kept_of_a_stream_is_what_passed_and_not_what_was_added_in_place():
    """DeepStack writes into the states that a block returned; the side network of LST reads them afterwards."""
    model, inputs = tiny('qwen3_vl')
    adapter = vlpeft.attach(model, dict(type='LST', reduction=2, heads=2, dropout=0.0, targets=dict(towers=['lm'])))
    adapter.double()
    network, left, read = adapter.sets['default'].networks['lm'], [], {}
    for block in adapter.towers['lm'].block_modules:
        block.register_forward_hook(
            lambda module, args, output: left.append((output[0] if isinstance(output, tuple) else output).clone())
        )
    network.register_forward_pre_hook(lambda module, args, kwargs: read.update(kwargs), with_kwargs=True)
    model(**inputs)
    assert len(left) == 2
    for depth, states in enumerate(left):
        assert torch.equal(read[f'block_{depth}'], states)
