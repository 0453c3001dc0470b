"""Stacks whose description is wrong or cannot be: refused by name, and what is left out is told."""

import logging
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

import vlpeft
from tests import tiny_vlms
from tests.sites.test_stacks import CAUSAL, VISION, causal
from vlpeft.sites import SiteError, Tap, attached_to, find_towers, verify
from vlpeft.sites.families import stack_blocks, stacks

LORA = dict(type='LoRA', rank=2, targets={})


def untested(tower, **changes):
    return replace(tower, is_tested=False, **changes)


def towers_of(name, dtype=torch.float64):
    model = causal(name)[0] if name in CAUSAL else tiny_vlms.build(name)
    return find_towers(model.to(dtype))


@pytest.mark.parametrize('name', [*VISION, *CAUSAL])
@pytest.mark.parametrize('where', ['float64', 'bfloat16', 'meta'])
def test_right_descriptions_are_verified(name, where):
    """With weights as they are, in two number formats; without, by a small twin."""
    found = towers_of(name, torch.float32 if where == 'meta' else getattr(torch, where))
    for tower in found.values():
        if type(tower.block_modules[0]).__name__ in {full.partition('.')[2] for full in stacks.TESTED}:
            if where == 'meta':
                tower.module.to('meta')
            assert verify(untested(tower)) is None


def by_names_alone(tower):
    """h at the output projection and the FFN, past the norms behind them."""
    blocks = []
    for block in tower.blocks:
        path = f'{tower.block_path}.{block.depth}'
        h = dict(self_attn=Tap(f'{path}.self_attn.o_proj', 'output'), ffn=Tap(f'{path}.mlp', 'output'))
        sublayers = {kind: replace(sub, h=h[kind]) for kind, sub in block.sublayers.items()}
        blocks.append(replace(block, sublayers=sublayers))
    return untested(tower, blocks=tuple(blocks))


@pytest.mark.parametrize('name', ['glm4v', 'gemma3', 'gemma2'])
@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_sandwich_norms_by_names_alone_are_refused(name, dtype):
    tower = towers_of(name, dtype)['lm']
    message = (
        r'tower "lm": the description does not fit \w+DecoderLayer: at self_attn of block 0 the stream after it '
        r'differs from x \+ h by up to [\d.e-]+, where rounding allows [\d.e-]+; leave the tower out'
    )
    with pytest.raises(SiteError, match=message):
        verify(by_names_alone(tower))


def test_the_difference_that_is_told_is_that_of_the_scale():
    """Granite adds 0.22 h: what it adds differs from h by 0.78 h, which is restated by plain hooks."""
    lm, _ = causal('granite', residual_multiplier=0.22)
    largest = []

    def hook(module, args, output):
        largest.append(0.78 * output.abs().max().item())

    handle = lm.model.layers[0].self_attn.o_proj.register_forward_hook(hook)
    with pytest.raises(SiteError, match='does not fit GraniteDecoderLayer: at self_attn of block 0') as raised:
        vlpeft.attach(lm, LORA)
    handle.remove()
    told = float(str(raised.value).partition('by up to ')[2].partition(',')[0])
    assert told == pytest.approx(largest[0], rel=5e-3)
    # The model is as it was.
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lm.modules())
    with pytest.raises(SiteError, match='does not fit GraniteDecoderLayer'):
        vlpeft.attach(causal('granite', residual_multiplier=0.22)[0].to('meta'), LORA)


@pytest.mark.parametrize('name', ['phi3', 'qwen2_vl', 'qwen2_5_vl', 'glm4v', 'blip2_opt'])
def test_another_order_in_a_fused_map_is_refused(name, monkeypatch):
    """Values, queries and keys fit as well by their sizes, or nearly; the values show."""
    true = stack_blocks._parts

    def wrong(site, sizes):
        if 'q' not in sizes:
            return true(site, sizes)
        return true(site, dict(sorted(sizes.items(), key=lambda item: 'vqk'.index(item[0]))))

    tower = untested(towers_of(name)['lm' if name == 'phi3' else 'vision'])
    assert verify(tower) is None
    monkeypatch.setattr(stack_blocks, '_parts', wrong)
    tower = untested(find_towers(tower.module)[tower.name])
    with pytest.raises(SiteError, match=r'the parts of the fused map .*qkv(_proj)? are not queries, keys and values'):
        verify(tower)


def test_norms_behind_branches_belong_to_them():
    lm, _ = causal('gemma2')
    adapter = vlpeft.attach(lm, dict(type='NormTuning', targets=dict(kinds=['self_attn'])), check_after=0)
    assert list(adapter.sets['default'].layers) == [
        f'lm_{depth}_self_attn_norm{index}' for depth in range(2) for index in ('', '1')
    ]
    assert len(adapter.sets['default'].layers) == 4


@pytest.mark.parametrize('name', ['glm4', 'glm', 'stablelm', 'starcoder2'])
def test_classes_that_are_not_tested_are_verified_and_adapted(name):
    lm, inputs = causal(name)
    tower = find_towers(lm)['lm']
    assert not tower.is_tested and verify(tower) is None
    before = lm(**inputs).logits
    adapter = vlpeft.attach(lm, dict(type='Bottleneck', bottleneck=2, targets={}), check_after=0)
    for param in adapter.sets.parameters():
        nn.init.normal_(param, std=0.3)
    assert not torch.allclose(adapter(**inputs).logits, before) and not adapter.never_hit()
    adapter.detach()
    assert torch.equal(lm(**inputs).logits, before)


PICTURES = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=28, image_size=16, patch_size=8
)
#: Vision transformers for themselves: rows before those of the patches, and the linear maps of their FFN.
ALONE = dict(
    vit=(1, ['fc1', 'fc2']),
    deit=(2, ['fc1', 'fc2']),
    dinov2_with_registers=(5, ['fc1', 'fc2']),
    dinov3_vit=(1, ['fc1', 'fc2']),
)


@pytest.mark.parametrize('name', ALONE)
def test_other_vision_transformers_are_verified_and_adapted(name):
    first, maps = ALONE[name]
    model = AutoModel.from_config(AutoConfig.for_model(name, **PICTURES)).double().eval().requires_grad_(False)
    for param in model.parameters():
        param.normal_(0, 0.2) if param.ndim > 1 else param.add_(0.1)
    found = find_towers(model)
    assert list(found) == ['vision'] and not found['vision'].is_tested and verify(found['vision']) is None
    assert found['vision'].patches.first == first and (found['vision'].patches.fixed is None) == (name != 'dinov3_vit')
    assert list(found['vision'].blocks[0].sublayers['ffn'].linears) == maps
    pixels = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    before = model(pixels)[0]
    assert before.shape[1] == first + 4
    for method in (LORA, dict(type='Bottleneck', bottleneck=2, targets={})):
        adapter = vlpeft.attach(model, method, check_after=0)
        for param in adapter.sets.parameters():
            nn.init.normal_(param, std=0.3)
        assert not torch.allclose(adapter(pixels)[0], before) and not adapter.never_hit()
        adapter.detach()
    assert torch.equal(model(pixels)[0], before)


def test_what_adds_nothing_cannot_be_verified(caplog):
    """A model of zeros shows nothing, but its twin does; where the twin cannot be built either, a line says so."""
    lm, _ = causal('stablelm')
    for param in lm.parameters():
        param.zero_()
    tower = find_towers(lm)['lm']
    assert verify(tower) is None
    lm.config.hidden_act = 'unheard of'
    told = verify(tower)
    assert 'not tested with blocks of class StableLmDecoderLayer' in told and 'could not be verified' in told
    assert '\n' not in told


@pytest.mark.parametrize('name', ['phi', 'cohere', 'cohere2'])
def test_attention_and_ffn_side_by_side_are_refused(name):
    with pytest.raises(SiteError, match=r'side by side, behind the one norm input_layernorm') as raised:
        find_towers(causal(name)[0])
    assert '\n' not in str(raised.value)


def test_the_other_towers_of_a_model_with_one_that_is_refused_are_named():
    model = tiny_vlms.build('aya_vision')
    with pytest.raises(SiteError, match=r'Cohere2DecoderLayer act side by side') as raised:
        vlpeft.attach(model, LORA)
    assert '\n' not in str(raised.value)
    written = str(raised.value).partition('the other towers are found with towers=')[2]
    found = find_towers(model, eval(written))
    assert list(found) == ['vision'] and len(found['vision'].outside['connector'].linears) == 2


def test_what_is_no_stack_is_refused_by_name_and_told(caplog):
    model = tiny_vlms.build('florence2')
    reason = r'transformers\.Florence2VisionBackbone\) is no tower: its stream changes its width between stages'
    with pytest.raises(SiteError, match=reason):
        find_towers(model, dict(vision='model.vision_tower'))
    assert list(find_towers(model)) == ['encoder', 'decoder']
    assert [line for line in find_towers(model).verify() if 'is no tower' in line]


def test_blocks_that_the_model_does_not_use(caplog):
    """LLaVA reads the states before the last block: it is left out, and refused where it is named."""
    model = tiny_vlms.build('llava')
    found = find_towers(model)
    idle = found['vision'].block_modules[2]
    assert '2 of 3' in repr(found)
    lines = found.verify()
    assert lines == [
        'tower "vision": LlavaModel takes its features from layer -2, before the last block; methods act in 2 of 3 '
        'blocks'
    ]
    adapter = vlpeft.attach(model, LORA, check_after=0)
    for param in adapter.sets.parameters():
        nn.init.normal_(param, std=0.3)
    adapter(**tiny_vlms.batch('llava')).loss.backward()
    assert all(param.grad is not None and param.grad.any() for param in adapter.parameters())
    assert not attached_to(idle)
    adapter.detach()
    named = dict(LORA, targets=dict(towers=['vision'], depths=[2]))
    with pytest.raises(
        SiteError, match=r'depths of tower "vision" \(LlavaModel takes its features from layer -2, .*\[2\]; there are'
    ):
        vlpeft.attach(model, named)
    last = vlpeft.attach(model, dict(LORA, targets=dict(towers=['vision'], depths=[-1], linears=['q'])), check_after=0)
    assert list(last.sets['default'].layers) == ['vision_1_self_attn_q']
    assert not [path for path in found['vision'].norms if '.2.' in path or 'post_layernorm' in path]


def test_more_layers_and_other_ways_to_name_them():
    model = tiny_vlms.build('llava')
    for layers, used in ((-3, 1), ([-3, -2], 2), (1, 1), (-1, 3)):
        model.config.vision_feature_layer = layers
        assert len(find_towers(model)['vision'].blocks) == used
    # The vision tower alone is whole.
    assert len(find_towers(model.model.vision_tower)['vision'].blocks) == 3


def test_the_log_tells_once(caplog):
    with caplog.at_level(logging.WARNING):
        vlpeft.attach(tiny_vlms.build('llava'), LORA, check_after=0)
    told = [record for record in caplog.records if 'takes its features' in record.getMessage()]
    assert len(told) <= 1
