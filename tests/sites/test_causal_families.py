"""OPT, GPT-2 and Llama: sites where their families say, and tensors that pass flattened reach methods unflattened."""

import pytest
import torch
from torch import nn

from tests.tiny import randomise
from tests.tiny_epalm import HEADS, LAYERS, LMS, VOCAB, WIDTH, random_texts
from vlpeft.adapters import ComposedAdapter
from vlpeft.models.backbones import build_causal_lm
from vlpeft.registry import ADAPTERS
from vlpeft.sites import AdapterSwitch, Attachment, SiteError, checkpoint_blocks, describe
from vlpeft.sites.hooks import _Capture

LINEARS = dict(opt=['fc1', 'fc2'], opt_post=['fc1', 'fc2'], gpt2=['fc1', 'fc2'], llama=['fc2'])
TARGETS = dict(kinds=['self_attn', 'ffn'])
METHODS = [
    dict(type='Bottleneck', form='parallel', bottleneck=3, targets=TARGETS),
    dict(type='Gate', granularity='small', targets=TARGETS),
]


def build(name):
    lm = randomise(build_causal_lm(LMS[name], VOCAB).double().eval(), std=0.25)
    return lm.requires_grad_(False), describe(lm, 'lm')


def watch(tower, tap):
    capture = _Capture(tap)
    module = tower.module.get_submodule(tap.path)
    if tap.side == 'input':
        module.register_forward_pre_hook(capture.on_input, with_kwargs=True)
    else:
        module.register_forward_hook(capture.on_output)
    if tap.shape_of is not None:
        tower.module.get_submodule(tap.shape_of).register_forward_hook(capture.on_shape)
    return capture


def run(lm, left=False):
    tokens = random_texts(left=left)
    return lm(input_ids=tokens.ids, attention_mask=tokens.mask, use_cache=False).logits


@pytest.mark.parametrize('name', LMS)
def test_x_and_h_make_y_and_the_stream_is_one(name):
    lm, tower = build(name)
    assert (len(tower.blocks), tower.width) == (LAYERS, WIDTH)
    captures, inputs = [], []
    for block in tower.blocks:
        inputs.append(watch(tower, block.input))
        captures += [([watch(tower, tap) for tap in (sub.x, sub.h, sub.y)], sub) for sub in block.sublayers.values()]
    run(lm)
    for (x, h, y), sub in captures:
        assert x.value.shape == h.value.shape == y.value.shape == (3, 6, WIDTH)
        norm = lm.get_submodule(sub.y.path) if name == 'opt_post' else nn.Identity()
        torch.testing.assert_close(norm(x.value + h.value), y.value, rtol=1e-12, atol=1e-12)
        assert h.value.abs().max() > 0.05
    for (_, _, y), (x, _, _) in zip([taps for taps, _ in captures], [taps for taps, _ in captures[1:]]):
        assert torch.equal(y.value, x.value)
    for block, (taps, _) in zip(inputs, captures[::2]):
        assert torch.equal(block.value, taps[0].value)


@pytest.mark.parametrize('name', LMS)
def test_linear_sites_are_the_maps_they_name(name):
    lm, tower = build(name)
    sites = [
        (watch(tower, site.input), watch(tower, site.output), site, role)
        for block in tower.blocks
        for sub in block.sublayers.values()
        for role, site in sub.linears.items()
    ]
    assert [list(sub.linears) for sub in tower.blocks[0].sublayers.values()] == [list('qkvo'), LINEARS[name]]
    run(lm)
    for x, y, site, role in sites:
        whole = lm.get_submodule(site.path)(x.value)
        torch.testing.assert_close(y.value, whole if site.span is None else whole[..., slice(*site.span)])
        assert (x.value.shape[-1], y.value.shape[-1]) == (site.in_features, site.out_features)
        expected = dict(fc1=('fc1', 'c_fc'), fc2=('fc2', 'c_proj', 'down_proj'), o=('out_proj', 'c_proj', 'o_proj'))
        assert site.path.rpartition('.')[2] in expected.get(role, (f'{role}_proj', 'c_attn'))
        if site.span is not None:
            assert site.span == ('qkv'.index(role) * WIDTH, ('qkv'.index(role) + 1) * WIDTH)


@pytest.mark.parametrize('name', LMS)
def test_masks_and_entrance(name):
    lm, tower = build(name)
    masks = [watch(tower, block.mask) for block in tower.blocks]
    embeddings = watch(tower, tower.entrance.embeddings)
    words = lm.get_input_embeddings()(random_texts().ids)
    body = lm.get_submodule(tower.entrance.embeddings.path)
    given = torch.zeros(3, 1, 6, 6).double().masked_fill(~torch.ones(6, 6, dtype=torch.bool).tril(), float('-inf'))
    body(inputs_embeds=words, attention_mask=given, position_ids=torch.arange(6)[None], use_cache=False)
    assert embeddings.value is words and words.shape[-1] == tower.entrance.width
    assert all(mask.value is given for mask in masks)
    table = None if tower.entrance.positions is None else lm.get_submodule(tower.entrance.positions)
    assert (table is None) == (name == 'llama') and (table is None or table.weight.shape[1] == WIDTH)


@pytest.mark.parametrize('name', LMS)
def test_declared_norms_are_all_there_are(name):
    _, tower = build(name)
    norms = {path for path, module in tower.module.named_modules() if 'Norm' in type(module).__name__}
    assert set(tower.norms) == norms and len(tower.norms) == len(norms) == 2 * LAYERS + (name != 'opt_post')


@pytest.mark.parametrize('name', LMS)
def test_methods_see_samples_apart_and_detaching_restores_every_bit(name):
    """The gate's mean over tokens is one sample's, though OPT's FFN flattens the batch."""
    lm, tower = build(name)
    before = run(lm)
    towers = dict(lm=tower)
    adapter = randomise(ComposedAdapter(towers, METHODS).double(), std=0.25)
    attachment = Attachment(adapter.bindings(towers), towers, AdapterSwitch())
    ids = random_texts((5, 5)).ids
    alone = torch.cat([lm(input_ids=row[None]).logits for row in ids])
    torch.testing.assert_close(lm(input_ids=ids).logits, alone, rtol=1e-11, atol=1e-11)
    assert not attachment.never_hit() and not torch.allclose(run(lm), before, atol=0.1)
    attachment.detach()
    assert torch.equal(run(lm), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lm.modules())


@pytest.mark.parametrize('name', LMS)
def test_checkpointing_two_passes_of_different_lengths(name):
    """What a recomputed pass unflattens to is its own shape, not that of the pass after it."""

    def gradients(checkpointing):
        lm, tower = build(name)
        adapter = randomise(ADAPTERS.build(METHODS[0], default_args=dict(towers=dict(lm=tower))).double(), std=0.25)
        switch = AdapterSwitch()
        Attachment(adapter.bindings(dict(lm=tower)), dict(lm=tower), switch)
        if checkpointing:
            checkpoint_blocks(tower, switch)
        sums = [
            lm(input_ids=random_texts(lengths).ids, use_cache=False).logits.square().mean()
            for lengths in ((5, 5), (4, 4, 4))
        ]
        return torch.autograd.grad(sum(sums), list(adapter.parameters()))

    for found, expected in zip(gradients(True), gradients(False)):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        assert expected.any()


def test_roles_of_heads():
    config = build('llama')[0].config
    assert config.num_key_value_heads == 2 and HEADS == 2
    _, tower = build('llama')
    assert tower.blocks[0].sublayers['self_attn'].linears['k'].out_features == WIDTH // 2


def test_a_gated_ffn_has_no_single_fc1():
    _, tower = build('llama')
    with pytest.raises(SiteError, match=r"unknown linears of tower \"lm\" \['fc1'\]; there are \['fc2'\]"):
        ADAPTERS.build(
            dict(type='LoRA', targets=dict(kinds=['ffn'], linears=['fc1'])), default_args=dict(towers=dict(lm=tower))
        )
