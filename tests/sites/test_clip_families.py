"""CLIP's and SigLIP's transformers as transformers builds them: sites, masks, norms, and methods that act there."""

import pytest
import torch
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    SiglipConfig,
    SiglipModel,
    SiglipTextConfig,
    SiglipTextModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from tests.tiny import randomise
from tests.watching import watch
from vlpeft.adapters.gates import real_tokens
from vlpeft.registry import ADAPTERS
from vlpeft.sites import AdapterSwitch, Attachment, checkpoint_blocks, find_towers

VOCAB, LENGTH = 30, 6
SHAPES = dict(vision=(3, 20), text=(2, 16))
TEXT = dict(
    vocab_size=VOCAB,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=8,
    pad_token_id=1,
    bos_token_id=2,
    eos_token_id=VOCAB - 1,
)
VISION = dict(
    hidden_size=20, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=16, patch_size=8
)
CASES = [(model, tower) for model in ('clip', 'siglip') for tower in SHAPES]


@pytest.fixture(autouse=True)
def double():
    """transformers makes CLIP's causal mask in torch's default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def build(name):
    if name == 'clip':
        model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8))
    else:
        model = SiglipModel(SiglipConfig(text_config=dict(TEXT, projection_size=20), vision_config=VISION))
    model = randomise(model.eval(), std=0.3).requires_grad_(False)
    return model, find_towers(model)


def texts():
    ids = torch.randint(3, VOCAB - 1, (3, LENGTH), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    for row, length in enumerate((6, 4, 3)):
        ids[row, length - 1], ids[row, length:], mask[row, length:] = VOCAB - 1, 1, 0
    return ids, mask


def run(tower, **options):
    if tower.name == 'vision':
        pixels = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        return tower.module(pixel_values=pixels, **options)
    ids, mask = texts()
    return tower.module(input_ids=ids, attention_mask=mask, **options)


def attach(config, towers, name='default', seed=0):
    adapter = randomise(ADAPTERS.build(config, default_args=dict(towers=towers)), seed=seed)
    switch = AdapterSwitch()
    return adapter, switch, Attachment(adapter.bindings(towers), towers, switch)


@pytest.mark.parametrize('model, name', CASES)
def test_x_and_h_make_y_of_the_models_own_pieces(model, name):
    tower = build(model)[1][name]
    assert (len(tower.blocks), tower.width) == SHAPES[name]
    module, captures = tower.module, []
    for block in tower.blocks:
        assert list(block.sublayers) == ['self_attn', 'ffn'] and block.input == block.sublayers['self_attn'].x
        captures += [[watch(module, tap) for tap in (sub.x, sub.h, sub.y)] for sub in block.sublayers.values()]
    run(tower)
    for x, h, y in captures:
        torch.testing.assert_close(x.value + h.value, y.value, rtol=1e-12, atol=1e-12)
        assert x.value.shape[-1] == tower.width and h.value.abs().max() > 0.1
    for (_, _, y), (x, _, _) in zip(captures, captures[1:]):
        assert torch.equal(y.value, x.value)
    for layer, (x, h, _) in zip(module.encoder.layers, captures[1::2]):
        torch.testing.assert_close(layer.mlp(layer.layer_norm2(x.value)), h.value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('model, name', CASES)
def test_linear_sites_are_the_maps_they_name(model, name):
    tower = build(model)[1][name]
    names = dict(self_attn=dict(q='q_proj', k='k_proj', v='v_proj', o='out_proj'), ffn=dict(fc1='fc1', fc2='fc2'))
    captures = []
    for block in tower.blocks:
        for kind, sub in block.sublayers.items():
            assert {role: site.path.rpartition('.')[2] for role, site in sub.linears.items()} == names[kind]
            for site in sub.linears.values():
                captures.append((watch(tower.module, site.input), watch(tower.module, site.output), site))
    run(tower)
    for x, y, site in captures:
        linear = tower.module.get_submodule(site.path)
        assert linear.weight.shape == (site.out_features, site.in_features)
        torch.testing.assert_close(y.value, x.value @ linear.weight.T + linear.bias)


@pytest.mark.parametrize('model, name', CASES)
def test_declared_norms_are_all_there_are(model, name):
    tower = build(model)[1][name]
    norms = [path for path, module in tower.module.named_modules() if isinstance(module, nn.LayerNorm)]
    assert sorted(tower.norms) == sorted(norms) and len(norms) > 2 * len(tower.blocks)


@pytest.mark.parametrize('model', ['clip', 'siglip'])
def test_texts_masks_and_their_direction(model):
    towers = build(model)[1]
    assert all(block.mask is None for block in towers['vision'].blocks)
    tower = towers['text']
    masks = [watch(tower.module, block.mask) for block in tower.blocks]
    run(tower)
    assert all(torch.equal(real_tokens(mask.value), texts()[1].bool()) for mask in masks)
    # Another last token of the longest text changes what its first became, but where tokens see predecessors only.
    ids, mask = texts()
    first = tower.module(input_ids=ids, attention_mask=mask)[0][0, 0]
    ids[0, -1] = 5
    other = tower.module(input_ids=ids, attention_mask=mask)[0][0, 0]
    assert tower.causal == torch.equal(first, other) == (model == 'clip')


@pytest.mark.parametrize('model, name', [('clip', 'vision'), ('siglip', 'text')])
def test_checkpointing_gives_the_same_gradients_of_means_over_tokens(model, name):
    """Of those of one tower beside a causal one, and of those over the tokens that a mask leaves."""
    config = dict(
        type='VLPET',
        granularity='small',
        mean='masked' if name == 'text' else 'all',
        targets=dict(towers=[name]),
        bottleneck=4,
        value_bottleneck=None,
    )
    found = []
    for checkpointing in (False, True):
        towers = build(model)[1]
        adapter, switch, _ = attach(config, towers)
        if checkpointing:
            checkpoint_blocks(towers[name], switch)
        loss = run(towers[name])[0].square().mean()
        found.append(torch.autograd.grad(loss, list(adapter.parameters())))
    for plain, saving in zip(*found):
        torch.testing.assert_close(saving, plain, rtol=1e-10, atol=1e-14)
        assert plain.any()


PARTS = dict(
    clip_vision=lambda: CLIPVisionModel(CLIPVisionConfig(**VISION)),
    clip_text=lambda: CLIPTextModel(CLIPTextConfig(**TEXT)),
    siglip_vision=lambda: SiglipVisionModel(SiglipVisionConfig(**VISION)),
    siglip_text=lambda: SiglipTextModel(SiglipTextConfig(**TEXT)),
)


def slow_ffn(layer, x):
    hidden = layer.layer_norm2(x) @ layer.mlp.fc1.weight.T + layer.mlp.fc1.bias
    return layer.mlp.activation_fn(hidden) @ layer.mlp.fc2.weight.T + layer.mlp.fc2.bias


@pytest.mark.parametrize('part', PARTS)
def test_uniadapter_adds_its_formula_and_recorded_states_have_it(part):
    """transformers records the hidden states of SigLIP inside its blocks' calls, before hooks of a block run."""
    model = randomise(PARTS[part]().eval(), std=0.3).requires_grad_(False)
    towers = find_towers(model)
    (name, tower), *rest = towers.items()
    assert not rest and part.endswith(name)
    config = dict(type='UniAdapter', share='none', modalities=(name,), bottleneck=3, init='normal')
    adapter, _, attachment = attach(config, towers)
    captures = []
    for block in tower.blocks:
        attention, ffn = block.sublayers['self_attn'], block.sublayers['ffn']
        source = ffn.x if name == 'vision' else attention.y
        captures.append([watch(tower.module, tap) for tap in (source, ffn.x, ffn.y)])
    ids, mask = texts()
    inputs = dict(input_ids=ids, attention_mask=mask)
    if name == 'vision':
        inputs = dict(pixel_values=torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    states = model(**inputs, output_hidden_states=True).hidden_states
    assert len(states) == len(captures) + 1 and not attachment.never_hit()
    for layer, unit, state, (source, x, y) in zip(tower.block_modules, adapter.layers[name], states[1:], captures):
        up = unit.get_submodule(f'up_{name}')
        added = 0.1 * up(torch.relu(unit.down(unit.norm(source.value))))
        torch.testing.assert_close(y.value, x.value + slow_ffn(layer, x.value) + added, rtol=1e-10, atol=1e-12)
        assert added.abs().max() > 1e-3 and torch.equal(state, y.value)
