"""Several methods at one place act in the order of the list."""

import copy

import pytest
import torch
from torch.nn import functional as F

import vlpeft
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS
from vlpeft.testing.subjects import randomise

CLOSE = dict(rtol=1e-9, atol=1e-10)
OUTPUT = dict(linears=['o'])
LORA = dict(type='LoRA', rank=2, alpha=3, targets=OUTPUT)
IA3 = dict(type='IA3', targets=OUTPUT)
SSF = dict(type='SSF', targets=OUTPUT)
BOTTLENECK = dict(type='Bottleneck', bottleneck=3, scale=2.0, targets=dict(kinds=['self_attn']))
GATE = dict(type='Gate', granularity='middle_x', targets=dict(kinds=['self_attn']))


def attach(config, subject='bart', name='default'):
    adapter = vlpeft.attach(SUBJECTS[subject].model(), copy.deepcopy(config), check_after=0, name=name)
    for seed, method in enumerate(adapter.methods(name), 1):
        randomise(method, seed=seed)
    return adapter


def passing(adapter, path, subject='bart'):
    """What enters and leaves a map of the encoder's first self-attention, without the methods and with them."""
    module, seen = adapter.model.get_submodule(path), {}
    # Hooked last, it sees what the methods have made of the output.
    handle = module.register_forward_hook(lambda module, args, out: seen.update(x=args[0], y=out))
    SUBJECTS[subject].run(adapter)
    handle.remove()
    return seen['x'], F.linear(seen['x'], module.weight, module.bias), seen['y']


O_PROJ = 'model.encoder.layers.0.self_attn.out_proj'
KEY, BRANCH = 'encoder_0_self_attn_o', 'encoder_0_self_attn'


def lora(method, x):
    unit = method.layers[KEY]
    return 1.5 * x @ unit.down.weight.T @ unit.up.weight.T


def bottleneck(method, h):
    unit = method.layers[BRANCH]
    return 2 * unit.up(F.gelu(unit.down(h), approximate='tanh'))


def test_two_methods_at_a_map():
    first, second = attach([LORA, IA3]), attach([IA3, LORA])
    x, y, found = passing(first, O_PROJ)
    low, scale = first.methods('default')
    torch.testing.assert_close(found, scale.layers[KEY].scale * (y + lora(low, x)), **CLOSE)
    x, y, turned = passing(second, O_PROJ)
    scale, low = second.methods('default')
    torch.testing.assert_close(turned, scale.layers[KEY].scale * y + lora(low, x), **CLOSE)


def test_a_method_at_a_map_and_one_at_its_sub_layer():
    """What leaves the last map of an attention is what leaves the sub-layer."""
    first, second = attach([LORA, BOTTLENECK]), attach([BOTTLENECK, LORA])
    x, y, found = passing(first, O_PROJ)
    low, small = first.methods('default')
    h = y + lora(low, x)
    torch.testing.assert_close(found, h + bottleneck(small, h), **CLOSE)
    x, y, found = passing(second, O_PROJ)
    small, low = second.methods('default')
    torch.testing.assert_close(found, y + bottleneck(small, y) + lora(low, x), **CLOSE)


def test_two_methods_at_a_sub_layer():
    for order in ([BOTTLENECK, GATE], [GATE, BOTTLENECK], [BOTTLENECK, BOTTLENECK]):
        adapter, expected = attach(order), {}
        module = adapter.model.get_submodule('model.encoder.layers.0.self_attn')
        module.register_forward_pre_hook(
            lambda module, args, kwargs: expected.update(stream=args[0] if args else kwargs['hidden_states']),
            with_kwargs=True,
        )
        _, h, found = passing(adapter, O_PROJ)
        for method in adapter.methods('default'):
            if type(method).__name__ == 'Gate':
                gate = method.layers[BRANCH].gate
                weight = next(param for param in gate.parameters() if param.ndim == 2)
                bias = next(param for param in gate.parameters() if param.ndim == 1)
                h = torch.sigmoid((expected['stream'] + h) @ weight.T + bias) * h
            else:
                h = h + bottleneck(method, h)
        torch.testing.assert_close(found, h, **CLOSE)


def test_a_scale_of_a_maps_input_is_seen_by_what_follows():
    fc2 = dict(linears=['fc2'])
    path, key = 'model.encoder.layers.0.fc2', 'encoder_0_ffn_fc2'
    for order in (['LoRA', 'IA3'], ['IA3', 'LoRA']):
        adapter = attach([dict(type=kind, targets=fc2, **(dict(rank=2) if kind == 'LoRA' else {})) for kind in order])
        low, scale = sorted(adapter.methods('default'), key=lambda method: type(method).__name__ != 'LoRA')
        factors, unit = scale.layers[key].scale, low.layers[key]
        x, y, found = passing(adapter, path)
        # x has been scaled already; LoRA has read it before or after.
        read = x / factors if order[0] == 'LoRA' else x
        torch.testing.assert_close(found, y + read @ unit.down.weight.T @ unit.up.weight.T, **CLOSE)


MERGEABLE = dict(
    lora=dict(type='LoRA', rank=2, targets={}),
    pissa=dict(type='LoRA', rank=2, init='pissa', targets={}),
    dora=dict(type='DoRA', rank=2, targets={}),
    vera=dict(type='VeRA', rank=3, targets={}),
    aurora=dict(type='Aurora', rank=3, targets={}),
    ia3=dict(type='IA3', targets={}),
    ssf=dict(type='SSF', targets={}),
    bitfit=dict(type='BitFit', targets={}),
    loha=dict(type='HFPEFT', config=dict(type='LoHaConfig', r=2), targets={}),
)


@pytest.mark.parametrize('second', MERGEABLE)
@pytest.mark.parametrize('first', MERGEABLE)
@pytest.mark.parametrize('subject', ['bart', 'gpt2'])
def test_what_both_can_be_merged_of_is_merged_in_order(subject, first, second):
    adapter = attach([MERGEABLE[first], MERGEABLE[second]], subject)
    before = {key: value.clone() for key, value in adapter.model.state_dict().items()}
    expected = SUBJECTS[subject].run(adapter)
    adapter.merge()
    torch.testing.assert_close(SUBJECTS[subject].run(adapter), expected, rtol=1e-8, atol=1e-9)
    adapter.unmerge()
    assert all(torch.equal(adapter.model.state_dict()[key], value) for key, value in before.items())
    torch.testing.assert_close(SUBJECTS[subject].run(adapter), expected, **CLOSE)


def test_one_that_cannot_be_merged_keeps_all_from_it():
    adapter = attach([LORA, BOTTLENECK])
    before = {key: value.clone() for key, value in adapter.model.state_dict().items()}
    with pytest.raises(SiteError, match='Bottleneck cannot be merged'):
        adapter.merge()
    assert all(torch.equal(adapter.model.state_dict()[key], value) for key, value in before.items())


def test_order_does_not_reach_from_set_to_set():
    """Of two sets with the same methods in different order each acts as it does alone."""
    subject = SUBJECTS['bart']
    adapter = attach([LORA, IA3], name='first')
    adapter.add('second', [copy.deepcopy(IA3), copy.deepcopy(LORA)])
    for method, other in zip(adapter.methods('second'), reversed(adapter.methods('first'))):
        method.load_state_dict(other.state_dict())
    alone = attach([LORA, IA3])
    turned = attach([IA3, LORA])
    for method, other in zip(turned.methods('default'), reversed(alone.methods('default'))):
        method.load_state_dict(other.state_dict())
    expected = dict(first=subject.run(alone), second=subject.run(turned))
    assert not torch.allclose(expected['first'], expected['second'])
    for name, value in expected.items():
        with adapter.use(name):
            torch.testing.assert_close(subject.run(adapter), value, **CLOSE)
    with adapter.per_sample(('second', 'first', 'second')):
        mixed = subject.run(adapter)
    for row, name in enumerate(('second', 'first', 'second')):
        torch.testing.assert_close(mixed[row], expected[name][row], **CLOSE)


def test_parts_of_a_fused_map_keep_their_order():
    """Queries, keys and values of GPT-2 leave one map; what acts on a part does so after what acted on it before."""
    q, all_parts = dict(linears=['q'], depths=[0]), dict(linears=['q', 'k', 'v'], depths=[0])
    parts = [
        dict(type='LoRA', rank=2, targets=all_parts),
        dict(type='SSF', targets=q),
        dict(type='LoRA', rank=2, targets=q),
    ]
    adapter = attach(parts, 'gpt2')
    module, seen = adapter.model.transformer.h[0].attn.c_attn, {}
    module.register_forward_hook(lambda module, args, out: seen.update(x=args[0], y=out))
    SUBJECTS['gpt2'].run(adapter)
    x = seen['x']
    y = dict(zip('qkv', (x @ module.weight + module.bias).split(16, -1)))
    low, scaled, again = adapter.methods('default')
    for role in 'qkv':
        unit = low.layers[f'lm_0_self_attn_{role}']
        y[role] = y[role] + x @ unit.down.weight.T @ unit.up.weight.T
    (unit,) = (unit for unit in scaled.modules() if hasattr(unit, 'shift'))
    y['q'] = unit.scale * y['q'] + unit.shift
    unit = again.layers['lm_0_self_attn_q']
    y['q'] = y['q'] + x @ unit.down.weight.T @ unit.up.weight.T
    torch.testing.assert_close(seen['y'], torch.cat([y['q'], y['k'], y['v']], -1), **CLOSE)
