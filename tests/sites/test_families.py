"""Every family: its sites are where it says; methods act there, also under copies, checkpointing and compilation."""

import copy

import pytest
import torch
from torch import nn

from tests.sites.test_sites import multimodal_pass
from tests.slow_blip import SlowUniAdapter
from tests.tiny import DEPTH, SIZE, build_retriever, random_batch, retriever_config
from tests.towers import TEXT_DEPTH, VISION, build, dual_config
from tests.watching import watch
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError, describe

UNIADAPTER = dict(type='UniAdapter', bottleneck=4)
#: The others are in vlpeft.testing.SUBJECTS, where every method is checked on them.
NOT_OF_THE_CONTRACT = ['clip', 'beit_plain']
DUAL_ADAPTER = dict(UNIADAPTER, share='none', modalities=('vision', 'text'))


def run_vision(vision):
    vision(torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).double())


def run_text(text):
    ids = torch.arange(8).view(2, 4)
    text(ids, torch.ones_like(ids))


def branches(module, sub):
    """Captures of x, h and y; where h is not published, of the branch's last linear map instead."""
    last = list(sub.linears.values())[-1]
    return [watch(module, tap) for tap in (sub.x, sub.h or last.output, sub.y)]


def branch_output(tower, depth, sub, h):
    if sub.h is not None:
        return h.value
    layer = tower.module.layers[depth]
    return h.value * (layer.gamma_1 if sub.kind == 'self_attn' else layer.gamma_2)


@pytest.mark.parametrize('name', [*VISION, 'clip_text'])
def test_pre_norm_families_satisfy_x_plus_h_is_y(name):
    model = build(dual_config() if name == 'clip_text' else retriever_config(vision=VISION[name]))
    tower = model.towers['text' if name == 'clip_text' else 'vision']
    captures = [
        (depth, sub, branches(tower.module, sub))
        for depth, block in enumerate(tower.blocks)
        for sub in block.sublayers.values()
    ]
    (run_text if name == 'clip_text' else run_vision)(tower.module)
    assert len(captures) == 2 * (TEXT_DEPTH if name == 'clip_text' else DEPTH)
    published = [sub.h is not None for _, sub, _ in captures]
    assert not any(published) if name == 'beit' else all(published)
    for depth, sub, (x, h, y) in captures:
        torch.testing.assert_close(x.value + branch_output(tower, depth, sub, h), y.value, rtol=1e-12, atol=1e-12)
        assert not torch.equal(x.value, y.value)


@pytest.mark.parametrize('name', [*VISION, 'clip_text'])
def test_linear_sites_are_reached_and_are_the_maps_they_name(name):
    model = build(dual_config() if name == 'clip_text' else retriever_config(vision=VISION[name]))
    tower = model.towers['text' if name == 'clip_text' else 'vision']
    sites = [site for block in tower.blocks for sub in block.sublayers.values() for site in sub.linears.values()]
    captures = [(watch(tower.module, site.input), watch(tower.module, site.output), site) for site in sites]
    (run_text if name == 'clip_text' else run_vision)(tower.module)
    assert len(sites) == len(tower.blocks) * dict(beit=3, dinov2_giant=7, eva02=7).get(name, 6)
    for x, y, site in captures:
        linear = tower.module.get_submodule(site.path)
        start, stop = site.span or (0, site.out_features)
        assert x.value.shape[-1] == site.in_features and y.value.shape[-1] == site.out_features
        torch.testing.assert_close(y.value, x.value @ linear.weight[start:stop].T + linear.bias[start:stop])


@pytest.mark.parametrize('name', VISION)
def test_uniadapter_adds_its_formula_to_every_vision_family(name):
    model = build(retriever_config(vision=VISION[name], adapter=UNIADAPTER))
    slow = SlowUniAdapter(dict(model.named_parameters()))
    tower = model.towers['vision']
    captures = [branches(model.vision, block.sublayers['ffn']) for block in tower.blocks]
    run_vision(model.vision)
    for depth, (x, h, y) in enumerate(captures):
        added = slow(x.value, depth, 'vision')
        base = x.value + branch_output(tower, depth, tower.blocks[depth].sublayers['ffn'], h)
        torch.testing.assert_close(y.value, base + added, rtol=1e-10, atol=1e-12)
        assert added.abs().max() > 1e-3


@pytest.mark.parametrize('name', NOT_OF_THE_CONTRACT)
def test_copies_and_detaching(name):
    model = build(retriever_config(vision=VISION[name], adapter=UNIADAPTER))
    assert {key for key in model.state_dict() if key.startswith('vision.')} == {
        f'vision.{key}' for key in MODELS.build(VISION[name]).state_dict()
    }
    with model.switch.use(None):
        bare = multimodal_pass(model)
    adapted, twin = multimodal_pass(model), copy.deepcopy(model)
    with torch.no_grad():
        for param in twin.adapter.parameters():
            param.add_(0.3)
    assert torch.equal(multimodal_pass(model), adapted) and not torch.equal(multimodal_pass(twin), adapted)
    model.detach_adapter()
    assert torch.equal(multimodal_pass(model), bare) and not torch.equal(adapted, bare)


def dual_pass(model):
    ids = torch.arange(8).view(2, 4)
    return model.encode_vision(random_batch(dtype=next(model.parameters()).dtype)[0]).feature.sum(), model.text(
        ids, torch.ones_like(ids)
    ).square().sum()


def test_checkpointing_of_clips_text_tower():
    found = []
    for towers in ((), ('vision', 'text')):
        model = build(dual_config(adapter=DUAL_ADAPTER, gradient_checkpointing=towers))
        sum(dual_pass(model)).backward()
        found.append({key: param.grad for key, param in model.named_parameters() if param.grad is not None})
    assert set(found[0]) == set(found[1]) and any(key.startswith('adapter.layers.text') for key in found[0])
    for key in found[0]:
        torch.testing.assert_close(found[1][key], found[0][key], rtol=1e-10, atol=1e-12)


@torch._dynamo.config.patch(recompile_limit=64)
def test_compiled_blocks_with_the_edit_at_the_block():
    model = build(dual_config(vision=VISION['beit'], adapter=DUAL_ADAPTER), torch.float32)
    with torch.no_grad():
        adapted = dual_pass(model)
        with model.switch.use(None):
            bare = dual_pass(model)
        for tower in model.towers.values():
            for block in tower.block_modules:
                block.compile(backend='aot_eager')
        torch.testing.assert_close(dual_pass(model), adapted, rtol=1e-4, atol=1e-4)
        with model.switch.use(None):
            torch.testing.assert_close(dual_pass(model), bare, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(adapted[0], bare[0]) and not torch.allclose(adapted[1], bare[1])


def test_lora_on_beits_queries_is_an_error_that_names_what_there_is():
    lora = dict(type='LoRA', rank=2, targets=dict(kinds=['self_attn'], linears=['q', 'v']))
    with pytest.raises(
        SiteError,
        match=r'LoRA: unknown linears of tower "vision" \[\'q\', \'v\'\]; there are '
        r'\[\'o\'\]',
    ):
        MODELS.build(retriever_config(vision=VISION['beit'], adapter=lora))
    model = MODELS.build(retriever_config(vision=VISION['beit_plain'], adapter=lora))
    assert len(model.adapter.layers) == 4 * DEPTH


@pytest.mark.parametrize('name', NOT_OF_THE_CONTRACT)
def test_lora_changes_other_vision_families(name):
    lora = dict(type='LoRA', rank=2, targets=dict(towers=['vision']))
    model = build(retriever_config(vision=VISION[name], adapter=lora))
    adapted = multimodal_pass(model)
    with model.switch.use(None):
        assert not torch.allclose(multimodal_pass(model), adapted)


def test_the_decoders_sites_are_the_encoders_below_bert():
    encoder = build_retriever()
    decoder = MODELS.build(dict(retriever_config()['text'], type='BlipTextDecoder'))
    for theirs, own in zip(describe(decoder, 'decoder').blocks, encoder.towers['text'].blocks):
        for kind, sub in own.sublayers.items():
            for tap in ('x', 'h', 'y'):
                assert getattr(theirs.sublayers[kind], tap).path == f'bert.{getattr(sub, tap).path}'
    assert len(describe(decoder, 'decoder').blocks) == DEPTH


@pytest.mark.parametrize('name, norm', [('dinov2_giant', 'ffn'), ('eva02', 'mlp')])
def test_gate_and_up_are_the_factors_of_what_down_gets(name, norm):
    tower = build(retriever_config(vision=VISION[name])).towers['vision']
    for block in tower.blocks:
        linears = block.sublayers['ffn'].linears
        gate, up, down = (linears[role] for role in ('gate', 'up', 'down'))
        assert (gate.path, gate.span[1], up.span[1]) == (up.path, up.span[0], 2 * gate.out_features)
        captures = [watch(tower.module, tap) for tap in (gate.output, up.output, down.input)]
        run_vision(tower.module)
        first, second, inner = (capture.value for capture in captures)
        inside = tower.module.get_submodule(f'layers.{block.depth}.{norm}.norm')
        torch.testing.assert_close(inside(nn.functional.silu(first) * second), inner, rtol=1e-12, atol=1e-12)
        assert inner.shape[-1] == down.in_features and inner.abs().max() > 0.01


@pytest.mark.parametrize('name', ['dinov2', 'dinov2_giant', 'eva02'])
def test_fc1_and_fc2_name_the_maps_of_any_ffn(name):
    lora = dict(type='LoRA', rank=2, targets=dict(towers=['vision'], kinds=['ffn']))

    def keys(linears):
        targets = dict(lora['targets'], linears=linears)
        return set(
            MODELS.build(retriever_config(vision=VISION[name], adapter=dict(lora, targets=targets))).adapter.layers
        )

    gated = name != 'dinov2'
    for asked, roles in (('fc1', ['gate', 'up'] if gated else ['fc1']), ('fc2', ['down' if gated else 'fc2'])):
        assert keys([asked]) == {f'vision_{depth}_ffn_{role}' for depth in range(DEPTH) for role in roles}
    if not gated:
        with pytest.raises(
            SiteError, match=r"unknown linears of tower \"vision\" \['down'\]; there are \['fc1', 'fc2'\]"
        ):
            keys(['down'])
