"""OPT, GPT-2 and Llama: sites where their families say, and tensors that pass flattened reach methods unflattened."""

import pytest
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2DoubleHeadsModel,
    GPT2Model,
    OPTModel,
)

from tests.majors import FIVE
from tests.tiny import randomise
from tests.tiny_epalm import LAYERS, TODAYS, VOCAB, random_texts
from tests.tiny_epalm import LMS as ALL
from tests.watching import watch
from vlpeft.adapters import Adapter, ComposedAdapter
from vlpeft.adapters.gates import real_tokens
from vlpeft.models.backbones import build_causal_lm
from vlpeft.registry import ADAPTERS
from vlpeft.sites import AdapterSwitch, Attachment, Binding, SiteError, checkpoint_blocks, describe, find_towers
from vlpeft.testing.backbones import WIDTH

#: Those that are described by their structure alone are in test_stacks.py.
LMS = {name: config for name, config in ALL.items() if name not in TODAYS}
LINEARS = dict(opt=['fc1', 'fc2'], opt_post=['fc1', 'fc2'], gpt2=['fc1', 'fc2'], llama=['gate', 'up', 'down'])
TARGETS = dict(kinds=['self_attn', 'ffn'])
BOTTLENECK = dict(type='Bottleneck', form='parallel', bottleneck=3, targets=TARGETS)


class Centre(nn.Module):
    """Moves every token of a sample by a learned multiple of the mean over its real tokens, or over all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def move(self, value, mask=None):
        real = torch.ones(value.shape[:2], dtype=torch.bool) if mask is None else real_tokens(mask)
        weights = real[..., None].to(value.dtype)
        return value + self.weight * (weights * value).sum(1, keepdim=True) / weights.sum(1, keepdim=True)


class CentreEverywhere(Adapter):
    """One unit at the output of each sub-layer; ``masked`` ones read the block's mask."""

    def __init__(self, towers, masked=False):
        super().__init__(towers)
        self.masked = masked
        self.units = nn.ModuleList(Centre() for block in towers['lm'].blocks for _ in block.sublayers)

    def bindings(self, towers):
        units = iter(self.units)
        for block in towers['lm'].blocks:
            for sub in block.sublayers.values():
                yield Binding('lm', block.depth, (block.mask,) if self.masked else (), sub.h, next(units).move)


def build(name):
    lm = randomise(build_causal_lm(LMS[name], VOCAB).double().eval(), std=0.25)
    return lm.requires_grad_(False), describe(lm, 'lm')


def run(lm, left=False):
    tokens = random_texts(left=left)
    return lm(input_ids=tokens.ids, attention_mask=tokens.mask, use_cache=False)[0]


def check_stream(module, tower, post_norm, forward):
    captures, inputs = [], []
    for block in tower.blocks:
        inputs.append(watch(module, block.input))
        captures += [([watch(module, tap) for tap in (sub.x, sub.h, sub.y)], sub) for sub in block.sublayers.values()]
    forward()
    for (x, h, y), sub in captures:
        assert x.value.shape == h.value.shape == y.value.shape == (3, 6, WIDTH)
        norm = module.get_submodule(sub.y.path) if post_norm else nn.Identity()
        torch.testing.assert_close(norm(x.value + h.value), y.value, rtol=1e-12, atol=1e-12)
        assert h.value.abs().max() > 0.05
    for (_, _, y), (x, _, _) in zip([taps for taps, _ in captures], [taps for taps, _ in captures[1:]]):
        assert torch.equal(y.value, x.value)
    for block, (taps, _) in zip(inputs, captures[::2]):
        assert torch.equal(block.value, taps[0].value)


@pytest.mark.parametrize('name', LMS)
def test_x_and_h_make_y_and_the_stream_is_one(name):
    lm, tower = build(name)
    assert (len(tower.blocks), tower.width) == (LAYERS, WIDTH)
    check_stream(lm, tower, name == 'opt_post', lambda: run(lm))


def bare(name, kind):
    """A language model without the usual head, and the path of its tower."""
    entries = dict(LMS[name], vocab_size=VOCAB, pad_token_id=1)
    config = AutoConfig.for_model(entries.pop('model_type'), **entries)
    if kind == 'classifier':
        model = AutoModelForSequenceClassification.from_config(config)
        return model, dict(gpt2='transformer').get(name, 'model')
    if kind == 'double':
        return GPT2DoubleHeadsModel(config), ''
    model = AutoModel.from_config(config)
    return (model.decoder if kind == 'decoder' else model), ''


@pytest.mark.parametrize(
    'name, kind',
    [(name, kind) for name in LMS for kind in ('bare', 'classifier')] + [('opt', 'decoder'), ('gpt2', 'double')],
)
def test_models_without_the_language_models_head(name, kind):
    model, path = bare(name, kind)
    model = randomise(model.double().eval(), std=0.25).requires_grad_(False)
    found = find_towers(model)
    assert (list(found), found.paths) == (['lm'], dict(lm=path))
    tower = found['lm']
    assert (len(tower.blocks), tower.width, tower.causal) == (LAYERS, WIDTH, True)
    assert set(tower.norms) == {
        path for path, module in tower.module.named_modules() if 'Norm' in type(module).__name__
    }
    embeddings = watch(tower.module, tower.entrance.embeddings)
    before = run(model)
    # The embeddings pass at the entrance, of the tower's own module too, whose path below itself is ''.
    words = model.get_input_embeddings()(random_texts().ids)
    tower.module(inputs_embeds=words, use_cache=False)
    assert embeddings.value is words and words.shape[-1] == tower.entrance.width
    lora = ADAPTERS.build(dict(type='LoRA', rank=2, targets=dict()), default_args=dict(towers=found))
    attachment = Attachment(randomise(lora.double()).bindings(found), found, AdapterSwitch())
    assert not torch.allclose(run(model), before, atol=1e-3) and not attachment.never_hit()
    attachment.detach()
    assert torch.equal(run(model), before)
    check_stream(tower.module, tower, name == 'opt_post', lambda: run(model))


def test_a_gpt2_with_cross_attentions_is_refused():
    model = GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=9, add_cross_attention=True))
    with pytest.raises(SiteError, match=r'sites of GPT2Model are known without cross-attentions only'):
        find_towers(model)


@pytest.mark.parametrize('name', LMS)
def test_linear_sites_are_the_maps_they_name(name):
    lm, tower = build(name)
    sites = [
        (watch(lm, site.input), watch(lm, site.output), site, role)
        for block in tower.blocks
        for sub in block.sublayers.values()
        for role, site in sub.linears.items()
    ]
    assert [list(sub.linears) for sub in tower.blocks[0].sublayers.values()] == [list('qkvo'), LINEARS[name]]
    run(lm)
    for x, y, site, role in sites:
        whole = lm.get_submodule(site.path).forward(x.value)  # past the hooks, which unflatten
        torch.testing.assert_close(y.value, whole if site.span is None else whole[..., slice(*site.span)])
        # Of OPT's FFN, too, which gets and gives its tensors flattened.
        assert (x.value.shape, y.value.shape) == ((3, 6, site.in_features), (3, 6, site.out_features))
        expected = dict(fc1=('fc1', 'c_fc'), fc2=('fc2', 'c_proj'), o=('out_proj', 'c_proj', 'o_proj'))
        assert site.path.rpartition('.')[2] in expected.get(role, (f'{role}_proj', 'c_attn'))
        if site.span is not None:
            assert site.span == ('qkv'.index(role) * WIDTH, ('qkv'.index(role) + 1) * WIDTH)


@pytest.mark.parametrize('name', LMS)
def test_masks_and_entrance(name):
    lm, tower = build(name)
    masks = [watch(lm, block.mask) for block in tower.blocks]
    embeddings = watch(lm, tower.entrance.embeddings)
    words = lm.get_input_embeddings()(random_texts().ids)
    body = lm.get_submodule(tower.entrance.embeddings.path)
    given = torch.zeros(3, 1, 6, 6).double().masked_fill(~torch.ones(6, 6, dtype=torch.bool).tril(), float('-inf'))
    body(inputs_embeds=words, attention_mask=given, position_ids=torch.arange(6)[None], use_cache=False)
    assert embeddings.value is words and words.shape[-1] == tower.entrance.width
    assert all(mask.value is given for mask in masks)
    table = None if tower.entrance.positions is None else lm.get_submodule(tower.entrance.positions)
    assert (table is None) == (name == 'llama') and (table is None or table.weight.shape[1] == WIDTH)


@pytest.mark.parametrize('name', LMS)
def test_masks_tell_padding_whether_boolean_or_additive(name):
    """transformers gives Llama and GPT-2 boolean masks, and OPT additive ones before version 5."""
    lm, tower = build(name)
    masks = [watch(lm, block.mask) for block in tower.blocks]
    run(lm)
    real = random_texts().mask.bool()
    assert not real.all()
    for mask in masks:
        assert (mask.value.dtype is torch.bool) == (name in ('gpt2', 'llama') or FIVE)
        assert torch.equal(real_tokens(mask.value), real)


@pytest.mark.parametrize('name', LMS)
def test_declared_norms_are_all_there_are(name):
    _, tower = build(name)
    norms = {path for path, module in tower.module.named_modules() if 'Norm' in type(module).__name__}
    assert set(tower.norms) == norms and len(tower.norms) == len(norms) == 2 * LAYERS + (name != 'opt_post')


@pytest.mark.parametrize('name', LMS)
def test_methods_see_samples_apart_and_detaching_restores_every_bit(name):
    """A mean over tokens is one sample's, though OPT's FFN flattens the batch."""
    lm, tower = build(name)
    before = run(lm)
    towers = dict(lm=tower)
    methods = [BOTTLENECK, dict(type=CentreEverywhere)]
    adapter = randomise(ComposedAdapter(towers, methods).double(), std=0.25)
    attachment = Attachment(adapter.bindings(towers), towers, AdapterSwitch())
    ids = random_texts((5, 5)).ids
    alone = torch.cat([lm(input_ids=row[None]).logits for row in ids])
    torch.testing.assert_close(lm(input_ids=ids).logits, alone, rtol=1e-11, atol=1e-11)
    assert not attachment.never_hit() and not torch.allclose(run(lm), before, atol=0.1)
    attachment.detach()
    assert torch.equal(run(lm), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lm.modules())


def gradients(name, method, checkpointing, passes):
    lm, tower = build(name)
    adapter = randomise(ADAPTERS.build(method, default_args=dict(towers=dict(lm=tower))).double(), std=0.25)
    switch = AdapterSwitch()
    Attachment(adapter.bindings(dict(lm=tower)), dict(lm=tower), switch)
    if checkpointing:
        checkpoint_blocks(tower, switch)
    logits = [lm(**inputs, use_cache=False).logits for inputs in passes]
    return torch.autograd.grad(sum(part.square().mean() for part in logits), list(adapter.parameters()))


def check_checkpointing(name, method, passes):
    for found, expected in zip(gradients(name, method, True, passes), gradients(name, method, False, passes)):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        assert expected.any()


@pytest.mark.parametrize('name', LMS)
def test_checkpointing_two_passes_of_different_lengths(name):
    """What a recomputed pass unflattens to is its own shape, not that of the pass after it."""
    for method in (BOTTLENECK, dict(BOTTLENECK, targets=dict(TARGETS, linears=['fc1', 'fc2', 'v']))):
        check_checkpointing(
            name, method, [dict(input_ids=random_texts(lengths).ids) for lengths in ((5, 5), (4, 4, 4))]
        )


@pytest.mark.parametrize('name', LMS)
def test_masks_are_read_under_checkpointing(name):
    """A block's recomputation calls its attention again, but not the block itself."""
    tokens = random_texts()
    passes = [dict(input_ids=tokens.ids, attention_mask=tokens.mask)]
    check_checkpointing(name, dict(type=CentreEverywhere, masked=True), passes)
    plain, masked = (gradients(name, dict(type=CentreEverywhere, masked=flag), False, passes) for flag in (False, True))
    assert not torch.allclose(plain[0], masked[0])


def test_keys_and_values_of_grouped_queries_are_narrower():
    lm, tower = build('llama')
    config = lm.config
    assert (config.num_key_value_heads, config.num_attention_heads) == (2, 4)
    linears = tower.blocks[0].sublayers['self_attn'].linears
    assert {role: linears[role].out_features for role in 'qkvo'} == dict(q=WIDTH, k=WIDTH // 2, v=WIDTH // 2, o=WIDTH)
    for block in tower.blocks:
        for sub in block.sublayers.values():
            for site in sub.linears.values():
                assert lm.get_submodule(site.path).weight.shape == (site.out_features, site.in_features)


def test_gate_and_up_are_the_factors_of_what_down_gets():
    lm, tower = build('llama')
    linears = tower.blocks[-1].sublayers['ffn'].linears
    gate, up, inner = (watch(lm, tap) for tap in (linears['gate'].output, linears['up'].output, linears['down'].input))
    run(lm)
    torch.testing.assert_close(nn.functional.silu(gate.value) * up.value, inner.value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('method', ['Gate', 'VLPET'])
@pytest.mark.parametrize('name', LMS)
def test_a_gate_per_sample_is_refused(name, method):
    """It averages over tokens: a token would see those after it, and with a cache only itself."""
    lm, tower = build(name)
    config = dict(type=method, granularity='small', targets=TARGETS)
    options = dict(value_bottleneck=None) if method == 'VLPET' else {}
    message = (
        rf"{method} with granularity='small' mixes the tokens of a sample, but tower \"lm\" is causal: a token would "
        r'see its successors, and decoding with a cache would differ from decoding without; choose granularity from '
        r"\['large', 'middle_x', 'middle_y'\]"
    )
    with pytest.raises(SiteError, match=message):
        ADAPTERS.build(dict(config, **options), default_args=dict(towers=dict(lm=tower)))
    for granularity in ('large', 'middle_x', 'middle_y'):
        ADAPTERS.build(dict(config, granularity=granularity, **options), default_args=dict(towers=dict(lm=tower)))


def test_opts_own_classes_are_one_tower():
    """The sites of the model, of its body and of its decoder are the same, below other roots."""
    lm, tower = build('opt')
    assert isinstance(lm.model, OPTModel)
    for module, root in ((lm.model, 'decoder'), (lm.model.decoder, '')):
        part = describe(module, 'lm')
        for ours, whole in zip(part.blocks, tower.blocks):
            for kind, sub in ours.sublayers.items():
                for tap in ('x', 'h', 'y'):
                    path = getattr(sub, tap).path.removeprefix(f'{root}.')
                    assert f'model.decoder.{path}' == getattr(whole.sublayers[kind], tap).path


@pytest.mark.parametrize('name', LMS)
def test_recorded_hidden_states_have_what_uniadapter_adds(name):
    """transformers records Llama's inside its blocks' calls, before hooks of a block run."""
    lm, tower = build(name)
    towers = dict(lm=tower)
    config = dict(type='UniAdapter', share='none', modalities=('text',), bottleneck=3, init='normal')
    adapter = randomise(ADAPTERS.build(config, default_args=dict(towers=towers)).double())
    tokens = random_texts()

    def states():
        return lm(input_ids=tokens.ids, attention_mask=tokens.mask, output_hidden_states=True).hidden_states

    plain = states()
    attachment = Attachment(adapter.bindings(towers), towers, AdapterSwitch())
    ends = [watch(lm, block.sublayers['ffn'].y) for block in tower.blocks]
    found = states()
    assert not attachment.never_hit()
    # The last one is recorded after the final norm.
    for depth, end in enumerate(ends[:-1], 1):
        assert torch.equal(found[depth], end.value)
        assert not torch.allclose(found[depth], plain[depth], atol=1e-3)
