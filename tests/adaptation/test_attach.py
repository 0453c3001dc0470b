"""A method on models of other libraries: they stay what they are, and what is declared trains."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import vlpeft
from tests.plain_models import PLAIN
from tests.tiny import randomise
from vlpeft.sites import SiteError

LORA = dict(type='LoRA', rank=2, targets={})
LINEARS = dict(beit=['o', 'fc1', 'fc2'])
TOWERS = dict(
    bart=['encoder', 'decoder'], t5=['encoder', 'decoder'], clip=['text', 'vision'], vit=['vision'], beit=['vision']
)


def lora(name):
    return dict(LORA, targets=dict(linears=LINEARS[name]) if name in LINEARS else {})


def attached(name, **options):
    model = PLAIN[name].model()
    adapter = vlpeft.attach(model, lora(name), **options)
    randomise(adapter.sets, seed=1)
    return model, adapter


def snapshot(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def assert_same(model, before):
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[key], before[key]) for key in before)


def hooks(model):
    return [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]


@pytest.mark.parametrize('name', PLAIN)
def test_what_trained_before_trains_again(name):
    plain, model = PLAIN[name], PLAIN[name].model()
    # Which kernel computes the attention may depend on what needs a gradient.
    with torch.no_grad():
        bare = plain.run(model)
    next(model.parameters()).requires_grad_(False)
    flags = {key: param.requires_grad for key, param in model.named_parameters()}
    adapter = vlpeft.attach(model, lora(name))
    with torch.no_grad():
        assert torch.equal(plain.run(model), bare), 'LoRA starts at the base'
    randomise(adapter.sets, seed=1)
    assert torch.equal(plain.run(adapter), plain.run(model)), 'the handle is called like the model'
    assert list(adapter.towers) == TOWERS.get(name, ['lm'])
    adapter.detach()
    assert {key: param.requires_grad for key, param in model.named_parameters()} == flags
    assert len(set(flags.values())) == 2


def test_a_copy_of_the_handle_is_detached_alone():
    model, adapter = attached('gpt2')
    before, twin = PLAIN['gpt2'].run(model), copy.deepcopy(adapter)
    twin.detach()
    assert not hooks(twin.model)
    assert torch.equal(PLAIN['gpt2'].run(adapter), before)


def test_counts_by_hand():
    """T5: two layers, q, k, v, o of width 16 in encoder, decoder and its cross-attention, FFN 16 x 24; rank 2."""
    model, adapter = attached('t5', trainable=['lm_head'])
    attentions, ffns = 2 * 3, 2 * 2
    lora_size = attentions * 4 * 2 * (16 + 16) + ffns * 2 * 2 * (16 + 24)
    counts = adapter.counts()
    head = 40 * 16
    assert counts['trainable_by_role'] == dict(adapter=lora_size, lm_head=head)
    assert counts['total'] == sum(param.numel() for param in model.parameters()) + lora_size
    assert counts['adapter_bytes'] == 8 * (lora_size + head)
    assert sum(counts['by_tower'].values()) == counts['total']


def test_the_report_says_what_trains_and_where():
    _, adapter = attached('bart', trainable=dict(lm_head='output'))
    text = repr(adapter)
    total = adapter.counts()['total']
    trained = adapter.counts()['trainable']
    assert text.startswith(f'BartForConditionalGeneration: {trained:,} of {total:,} parameters train')
    for expected in ("set 'default': LoRA, active", 'self_attn.q_proj: 0-1 of 2 blocks', 'of the model', 'output'):
        assert expected in text, text


def test_parts_of_the_model_train_beside_the_method():
    model, adapter = attached('llama', trainable=['lm_head', 'model.norm'])
    assert {name for name, param in model.named_parameters() if param.requires_grad} == {
        'lm_head.weight',
        'model.norm.weight',
    }
    assert {name for name, _ in adapter.named_parameters() if name.startswith('parts.')} == {
        'parts.model.norm.weight',
        'parts.lm_head.weight',
    }
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.1)
    before = model.lm_head.weight.detach().clone()
    PLAIN['llama'].run(adapter).square().mean().backward()
    optimizer.step()
    assert not torch.equal(model.lm_head.weight, before)
    state = adapter.state_dict()
    assert torch.equal(state['parts.lm_head.weight'], model.lm_head.weight)
    adapter.load_state_dict({key: torch.zeros_like(value) for key, value in state.items()}, strict=True)
    assert not model.lm_head.weight.any() and not model.model.norm.weight.any()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(trainable=['lm_hed']), r"trainable names 'lm_hed', which holds no parameter .* did you mean lm_head"),
        (
            dict(trainable='lm_head'),
            r"is one text; give a list of paths, \['lm_head'\]",
        ),
        (dict(adapter=dict(LORA, targets=dict(towers=['vision']))), r"unknown towers \['vision'\]; there are \['lm'\]"),
        (dict(towers=dict(lm='modle')), 'modle'),
        (dict(name='a.b'), "'a.b' is no name for a set"),
        (dict(adapter='LoRA'), r"'LoRA' is no method; write dict\(type='LoRA', …\)"),
        (dict(adapter=None), 'no method is given and no part of the model is declared trainable'),
        (dict(adapter=dict(rank=2)), 'is no method'),
        (dict(adapter=[]), 'no method is given and no part of the model is declared trainable'),
        (dict(adapter=dict(LORA, rank=0)), 'rank=0; it is an integer of at least 1'),
        (dict(adapter=dict(LORA, rank='8')), "rank='8'; it is an integer"),
        (dict(adapter=dict(type='Bottleneck', targets={}, bottleneck=-1)), 'bottleneck=-1; it is an integer'),
        (dict(adapter=dict(LORA, targets=dict(linears='q'))), r"linears='q' is no list; write linears=\['q'\]"),
        (dict(adapter=dict(LORA, targets=dict(depths=-1))), r'depths=-1 is no list; write depths=\[-1\]'),
        (dict(adapter=dict(LORA, targets=dict(depths=[-9]))), r'unknown depths .* \[-9\]; there are \[0, 1\]'),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_the_model(options, message):
    model = PLAIN['llama'].model()
    before = snapshot(model)
    with pytest.raises((SiteError, ValueError), match=message):
        vlpeft.attach(model, **{**dict(adapter=LORA), **options})
    assert_same(model, before)
    assert not hooks(model) and all(param.requires_grad for param in model.parameters())


def test_a_second_handle_is_refused_and_a_second_set_is_not():
    model, adapter = attached('gpt2')
    with pytest.raises(SiteError, match=r'carries an adapter already; .* adapter\.add\(name, config\)'):
        vlpeft.attach(model, LORA)
    bottleneck = dict(type='Bottleneck', bottleneck=3, targets=dict(kinds=['ffn']))
    adapter.add('other', bottleneck)
    first, plain = PLAIN['gpt2'].run(model), PLAIN['gpt2']
    with adapter.use('other'):
        other = plain.run(model)
    with adapter.use(None):
        bare = plain.run(model)
    assert not torch.allclose(first, other) and not torch.allclose(other, bare)
    alone = PLAIN['gpt2'].model()
    handle = vlpeft.attach(alone, bottleneck)
    handle.sets['default'].load_state_dict(adapter.sets['other'].state_dict())
    assert torch.equal(plain.run(alone), other)
    for call in (lambda: adapter.add('other', LORA), lambda: adapter.use('none'), lambda: adapter.remove('none')):
        with pytest.raises(ValueError, match='sets: default, other'):
            call()
    adapter.remove('other')
    assert torch.equal(plain.run(model), first) and list(adapter.sets) == ['default']


def test_modes_and_devices_follow_the_model():
    model = PLAIN['opt'].model(torch.float32)
    adapter = vlpeft.attach(model, dict(LORA, dropout=0.5))
    randomise(adapter.sets, seed=1)
    model.train()
    noisy = [PLAIN['opt'].run(model) for _ in range(2)]
    assert not torch.equal(*noisy)
    model.eval()
    calm = [PLAIN['opt'].run(model) for _ in range(2)]
    assert torch.equal(*calm)
    adapter.double()
    assert PLAIN['opt'].run(adapter).dtype == torch.float64
    model.to('meta')
    with pytest.raises(
        SiteError, match=r"set 'default' is on cpu, the model on meta; move both with adapter\.to\('meta'"
    ):
        PLAIN['opt'].run(model)


def test_a_base_in_bfloat16_takes_a_method_in_single_precision():
    plain = PLAIN['llama']
    exact = plain.model(torch.float32)
    short = plain.model(torch.bfloat16)
    outputs = []
    for model in (exact, short):
        adapter = vlpeft.attach(model, LORA)
        randomise(adapter.sets, seed=1)
        assert {param.dtype for param in adapter.parameters()} == {torch.float32}
        outputs.append(plain.run(model))
    assert outputs[1].dtype == torch.bfloat16
    # bfloat16 keeps 8 bits; errors of some layers add up.
    assert (outputs[1].float() - outputs[0]).abs().max() < 0.1 * outputs[0].abs().max()


def test_quantised_maps_are_adapted_and_not_merged():
    model = PLAIN['opt'].model(torch.float32)
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    bare = PLAIN['opt'].run(quantised)
    adapter = vlpeft.attach(quantised, dict(LORA, targets=dict(depths=[-1], linears=['fc2'])))
    assert torch.equal(PLAIN['opt'].run(quantised), bare)
    randomise(adapter.sets, seed=1)
    seen = {}
    maps = quantised.model.decoder.layers[-1].fc2
    maps.register_forward_hook(lambda module, args, output: seen.update(x=args[0], y=output))
    assert not torch.equal(PLAIN['opt'].run(quantised), bare)
    unit = adapter.sets['default'].layers['lm_1_ffn_fc2']
    expected = maps.forward(seen['x']) + seen['x'] @ unit.down.weight.T @ unit.up.weight.T
    torch.testing.assert_close(seen['y'], expected)
    with pytest.raises(SiteError, match='is a quantised map'):
        adapter.merge()
    adapter.detach()
    maps._forward_hooks.clear()
    assert torch.equal(PLAIN['opt'].run(quantised), bare)


@pytest.mark.parametrize('name', ['t5', 'llama', 'gpt2'])
def test_recomputed_activations_give_the_same_gradients_under_the_set_that_acted(name):
    found = []
    for saving in (False, True):
        model, adapter = attached(name)
        adapter.add('other', dict(LORA, rank=3))
        randomise(adapter.sets, seed=2)
        if saving:
            adapter.gradient_checkpointing_enable()
        adapter.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        with adapter.use('other'):
            loss = PLAIN[name].run(adapter).square().mean()
        loss.backward()
        found.append({key: param.grad for key, param in adapter.named_parameters()})
    assert all((found[0][key] is None) == key.startswith('sets.default') for key in found[0])
    for key, gradient in found[0].items():
        if gradient is not None:
            torch.testing.assert_close(found[1][key], gradient, rtol=1e-9, atol=1e-12)


def test_checkpointing_that_forgets_the_set_is_refused():
    model, adapter = attached('llama')
    model.gradient_checkpointing_enable()
    model.train()
    with pytest.raises(SiteError, match=r'enable it with adapter\.gradient_checkpointing_enable\(\)'):
        PLAIN['llama'].run(model)
    with pytest.raises(SiteError, match='use_reentrant=True'):
        adapter.gradient_checkpointing_enable(dict(use_reentrant=True))


def test_a_loop_of_plain_pytorch_learns():
    torch.manual_seed(0)
    model = PLAIN['t5'].build()
    adapter = vlpeft.attach(model, dict(type='VLPET', bottleneck=8, value_bottleneck=4), trainable=['lm_head'])
    inputs = PLAIN['t5'].inputs(3)
    labels = torch.randint(3, 40, (3, 3), generator=torch.Generator().manual_seed(7))
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(adapter(**inputs).logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_a_detached_handle_does_nothing_more():
    model, adapter = attached('gpt2')
    adapter.detach()
    adapter.detach()
    for call in (lambda: adapter.use('default'), lambda: adapter.add('b', LORA), adapter.merge):
        with pytest.raises(SiteError, match='the adapter was detached; attach one anew'):
            call()
    again = vlpeft.attach(model, LORA)
    assert torch.equal(PLAIN['gpt2'].run(again), PLAIN['gpt2'].run(PLAIN['gpt2'].model()))


def test_a_handle_can_be_pickled():
    _, adapter = attached('llama')
    again = pickle.loads(pickle.dumps(adapter))
    assert torch.equal(PLAIN['llama'].run(again), PLAIN['llama'].run(adapter))
    with again.use(None):
        assert not torch.equal(PLAIN['llama'].run(again), PLAIN['llama'].run(adapter))


def test_importing_vlpeft_stays_light():
    code = (
        "import sys, vlpeft; assert 'torch' not in sys.modules; vlpeft.attach; assert 'mmpretrain' not in sys.modules"
    )
    subprocess.run([sys.executable, '-c', code], check=True)
