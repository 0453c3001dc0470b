"""Sites where families say they are; attaching leaves no trace; hooks under DDP, checkpointing, compile, deepcopy."""

import copy

import pytest
import torch
from torch import nn

from tests.tiny import DEPTH, WIDTH, build_retriever, random_batch, retriever_config
from tests.watching import watch
from vlpeft.adapters import Adapter
from vlpeft.models.backbones import CrossContext
from vlpeft.registry import MODELS
from vlpeft.sites import AdapterSwitch, Attachment, Binding, SiteError, Targets, describe

UNIADAPTER = dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3)
VLPET = dict(
    type='VLPET',
    granularity='small',
    bottleneck=4,
    value_bottleneck=3,
    targets=dict(kinds=['self_attn', 'ffn']),
    value_targets=dict(kinds=['cross_attn'], linears=['v']),
)
GATED = [
    dict(type='Bottleneck', bottleneck=3, form='parallel', targets=dict(towers=['text'])),
    dict(type='Gate', granularity='small', mean='masked', targets=dict(towers=['text'])),
]
#: In combinations of towers, or of methods, that the contract has not.
METHODS = [UNIADAPTER, VLPET, GATED]


def multimodal_pass(model, clips=None):
    clips = random_batch(dtype=next(model.parameters()).dtype)[0] if clips is None else clips
    states = model.encode_vision(clips).tokens.flatten(1, 2)
    ids = torch.arange(6).view(1, 6).repeat(len(clips), 1) + 1
    return model.text(ids, torch.ones_like(ids), CrossContext(model.text.project_context(states)))


def text_pass(model):
    ids = torch.arange(6).view(1, 6) + 1
    return model.text(ids, torch.ones_like(ids))


@pytest.mark.parametrize('layer_scale', [0.0, 0.3])
def test_pre_norm_family_satisfies_x_plus_h_is_y(layer_scale):
    config = retriever_config()['vision']
    config['layer_cfgs'] = dict(layer_scale_init_value=layer_scale)
    vision = MODELS.build(config).double()
    vision.eval()
    for param in vision.parameters():
        nn.init.normal_(param, std=0.3)
    tower = describe(vision, 'vision')
    taps = [
        [watch(vision, tap) for tap in (sub.x, sub.h, sub.y)]
        for block in tower.blocks
        for sub in block.sublayers.values()
    ]
    vision(torch.randn(2, 3, 16, 16).double())
    assert len(taps) == 2 * DEPTH
    for x, h, y in taps:
        torch.testing.assert_close(x.value + h.value, y.value, rtol=1e-12, atol=1e-12)


def test_post_norm_family_satisfies_norm_of_x_plus_h_is_y():
    model = build_retriever()
    tower = model.towers['text']
    taps = [
        [watch(model.text, tap) for tap in (sub.x, sub.h, sub.y)] + [sub]
        for block in tower.blocks
        for sub in block.sublayers.values()
    ]
    multimodal_pass(model)
    assert len(taps) == 3 * DEPTH
    for x, h, y, sub in taps:
        norm = model.text.get_submodule(sub.y.path).LayerNorm
        torch.testing.assert_close(norm(x.value + h.value), y.value, rtol=1e-12, atol=1e-12)


def test_linear_sites_are_the_maps_they_name():
    model = build_retriever()
    qkv = model.vision.layers[0].attn.qkv
    x = torch.randn(3, WIDTH).double()
    for i, role in enumerate('qkv'):
        site = model.towers['vision'].blocks[0].sublayers['self_attn'].linears[role]
        start, stop = site.span
        torch.testing.assert_close(
            qkv(x)[:, start:stop], x @ qkv.weight[i * WIDTH : (i + 1) * WIDTH].T + qkv.bias[i * WIDTH : (i + 1) * WIDTH]
        )


@pytest.mark.parametrize('method', METHODS)
def test_attaching_adds_no_key_and_detaching_restores_every_bit(method):
    bare = build_retriever(torch.float32)
    model = build_retriever(torch.float32, adapter=method)
    own = {key for key in model.state_dict() if not key.startswith(('adapter.', 'momentum.'))}
    assert own == {key for key in bare.state_dict() if not key.startswith('momentum.')}
    model.load_state_dict({k: v for k, v in bare.state_dict().items() if not k.startswith('momentum.')}, strict=False)
    clips = random_batch(dtype=torch.float32)[0]
    expected = multimodal_pass(bare, clips)
    assert not torch.equal(multimodal_pass(model, clips), expected)
    with model.switch.use(None):
        assert torch.equal(multimodal_pass(model, clips), expected)
    model.detach_adapter()
    assert torch.equal(multimodal_pass(model, clips), expected)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize('method', METHODS)
def test_deepcopy_hooks_its_own_adapter(method):
    model = build_retriever(adapter=method)
    before = multimodal_pass(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for param in twin.adapter.parameters():
            param.add_(0.3)
    assert torch.equal(multimodal_pass(model), before)
    changed = multimodal_pass(twin)
    assert not torch.equal(changed, before)
    with twin.switch.use(None):
        assert torch.equal(multimodal_pass(model), before)


@pytest.mark.parametrize('method', METHODS)
def test_a_second_set_switches_in_by_context(method):
    model, other = build_retriever(adapter=method), build_retriever(adapter=method, seed=3)
    other.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith('adapter.')}, strict=False)
    second = other.adapter
    model.sets.attach(second, 'second')
    first_out, second_out = multimodal_pass(model), multimodal_pass(other)
    assert not torch.allclose(first_out, second_out)
    with model.switch.use('second'):
        assert torch.equal(multimodal_pass(model), second_out)
        with model.switch.use('default'):
            assert torch.equal(multimodal_pass(model), first_out)
        assert torch.equal(multimodal_pass(model), second_out)
    assert torch.equal(multimodal_pass(model), first_out)


def gradients(model, set_name='default'):
    """Text-only and multimodal pass in one backward, outside of the scope of the forward."""
    model.zero_grad()
    with model.switch.use(set_name):
        loss = multimodal_pass(model).square().sum() + text_pass(model).square().sum()
    loss.backward()
    return {name: param.grad for name, param in model.named_parameters() if param.grad is not None}


@pytest.mark.parametrize('method', METHODS)
def test_checkpointing_gives_the_same_gradients(method):
    plain = build_retriever(adapter=method)
    saving = build_retriever(adapter=method, gradient_checkpointing=('vision', 'text'))
    expected, found = gradients(plain), gradients(saving)
    assert set(expected) == set(found) and len(found) > 10
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=1e-12)


def test_checkpointing_recomputes_under_the_set_of_the_forward_pass():
    models = [build_retriever(adapter=UNIADAPTER, gradient_checkpointing=saving) for saving in ((), ('vision', 'text'))]
    found = []
    for model in models:
        second = copy.deepcopy(model.adapter)
        with torch.no_grad():
            for param in second.parameters():
                param.mul_(1.5)
        model.sets.attach(second, 'second')
        model.second = second
        found.append(gradients(model, 'second'))
    assert any(name.startswith('second.') for name in found[0])
    assert not any(name.startswith('adapter.') for name in found[0])
    for name in found[0]:
        torch.testing.assert_close(found[1][name], found[0][name], rtol=1e-10, atol=1e-12)


@torch._dynamo.config.patch(recompile_limit=64)
def test_compiled_blocks_see_attach_switch_and_detach():
    model = build_retriever(torch.float32, adapter=UNIADAPTER)
    clips = random_batch(dtype=torch.float32)[0]
    keys = set(model.state_dict())
    with torch.no_grad():
        adapted = multimodal_pass(model, clips)
        with model.switch.use(None):
            bare = multimodal_pass(model, clips)
        for tower in model.towers.values():
            for block in tower.block_modules:
                block.compile(backend='aot_eager')
        assert set(model.state_dict()) == keys
        torch.testing.assert_close(multimodal_pass(model, clips), adapted, rtol=1e-4, atol=1e-4)
        with model.switch.use(None):
            torch.testing.assert_close(multimodal_pass(model, clips), bare, rtol=1e-4, atol=1e-4)
        model.detach_adapter()
        torch.testing.assert_close(multimodal_pass(model, clips), bare, rtol=1e-4, atol=1e-4)
        model.sets.attach(model.adapter)
        torch.testing.assert_close(multimodal_pass(model, clips), adapted, rtol=1e-4, atol=1e-4)


def test_a_pass_cut_short_does_not_leak_into_the_next():
    model = build_retriever(adapter=UNIADAPTER)
    expected = text_pass(model)

    def stop(*_):
        raise KeyboardInterrupt

    handle = model.text.encoder.layer[0].intermediate.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        multimodal_pass(model)
    handle.remove()
    assert torch.equal(text_pass(model), expected)


@pytest.mark.parametrize(
    'targets, message',
    [
        (dict(towers=['audio']), r"LoRA: unknown towers \['audio'\]; there are \['vision', 'text'\]"),
        (
            dict(kinds=['mlp']),
            r"unknown kinds \['mlp'\]; there are \['self_attn', 'cross_attn', 'ffn', 'patch_embed', 'connector'\]",
        ),
        (
            dict(towers=['vision'], kinds=['cross_attn']),
            r"unknown kinds in tower vision \['cross_attn'\]; there are "
            r"\['self_attn', 'ffn', 'patch_embed'\]",
        ),
        (dict(depths=[7]), r'unknown depths of tower "vision" \[7\]; there are \[0, 1\]'),
        (
            dict(kinds=['ffn'], linears=['q']),
            r'unknown linears of tower "vision" \[\'q\'\]; there are '
            r'\[\'fc1\', \'fc2\'\]',
        ),
    ],
)
def test_unknown_sites_are_named_with_the_choices(targets, message):
    with pytest.raises(SiteError, match=message):
        MODELS.build(retriever_config(adapter=dict(type='LoRA', rank=2, targets=targets)))


def test_an_unknown_adapter_is_an_error():
    with pytest.raises(KeyError, match='NoSuchAdapter'):
        MODELS.build(retriever_config(adapter=dict(type='NoSuchAdapter')))


def test_a_site_that_no_pass_reaches_is_an_error(monkeypatch):
    from vlpeft.adapters import LoRA
    from vlpeft.models.tasks import Retriever

    def text_only(self):
        ids = torch.ones(1, 2, dtype=torch.long)
        self.text(ids, ids)

    monkeypatch.setattr(Retriever, 'probe', text_only)
    with pytest.raises(SiteError, match='no forward pass reaches 20 of its sites, such as vision.0'):
        MODELS.build(retriever_config(adapter=dict(type=LoRA, rank=2, targets=dict())))


def test_binding_nothing_is_an_error():
    tower = build_retriever().towers['text']
    with pytest.raises(SiteError, match='no site'):
        Attachment([], dict(text=tower), AdapterSwitch())


class Gain(nn.Module):
    """A learned gain whose method ends in ``answer``."""

    def __init__(self, answer):
        super().__init__()
        self.weight, self.answer = nn.Parameter(torch.ones(WIDTH)), answer

    def change(self, value):
        return self.answer(value * self.weight)


class Careless(Adapter):
    """Gains at one tap of text block 1 that forget what a method must return."""

    def __init__(self, towers, tap, answer):
        super().__init__(towers)
        self.tap, self.gain = tap, Gain(answer)

    def bindings(self, towers):
        block = towers['text'].blocks[1].sublayers['self_attn']
        write = dict(h=block.h, q=block.linears['q'].output, x=block.x)[self.tap]
        yield Binding('text', 1, (), write, self.gain.change)


@pytest.mark.parametrize('tap', ['h', 'q', 'x'])
@pytest.mark.parametrize(
    'answer, found',
    [
        (lambda value: None, 'returns None'),
        (lambda value: (value,), 'returns tuple'),
        (lambda value: value.mean(-1), r'returns shape \(1, 2\)'),
        (lambda value: value[:, :1], rf'returns shape \(1, 1, {WIDTH}\)'),  # would be broadcast by the residual add
        (lambda value: value.sum(), r'returns shape \(\)'),
    ],
)
def test_what_a_method_returns_is_checked(tap, answer, found):
    with pytest.raises(SiteError, match=rf'Gain\.change at text\.1:\S+ \(change\) {found}') as raised:
        MODELS.build(retriever_config(adapter=dict(type=Careless, tap=tap, answer=answer)))
    assert f'instead of a tensor of shape (1, 2, {WIDTH})' in str(raised.value)


def test_an_edit_of_rows_keeps_the_other_dimensions():
    """It may add rows where its binding says so; a width that is not the tap's stays an error."""
    towers = build_retriever().towers
    x = towers['text'].blocks[1].sublayers['self_attn'].x

    def run(answer, changes_rows):
        binding = Binding('text', 1, (), x, Gain(answer).double().change, changes_rows)
        attachment = Attachment([binding], towers, AdapterSwitch())
        try:
            return attachment.edits[0]._edited(torch.ones(1, 2, WIDTH, dtype=torch.float64))
        finally:
            attachment.detach()

    def doubled(value):
        return torch.cat([value, value], 1)

    assert run(doubled, True).shape == (1, 4, WIDTH)
    for answer, changes_rows in (
        (doubled, False),
        (lambda value: value[..., :1], True),
        (lambda value: value[0], True),
    ):
        with pytest.raises(SiteError, match='instead of a tensor of shape'):
            run(answer, changes_rows)


def test_targets_select_by_tower_kind_depth_and_role():
    towers = build_retriever().towers
    chosen = list(Targets(towers=['text'], kinds=['cross_attn'], depths=[-1], linears=['k', 'v']).linears(towers, 'T'))
    assert [(t.name, d, s.kind, role) for t, d, s, role, _ in chosen] == [
        ('text', DEPTH - 1, 'cross_attn', 'k'),
        ('text', DEPTH - 1, 'cross_attn', 'v'),
    ]


def test_backward_computes_no_gradient_of_frozen_weights():
    """Backward through the frozen parts is one product per linear map (for its input), not two."""
    from torch.utils.flop_counter import FlopCounterMode

    flops = {}
    for trainable in ('heads', 'all'):
        model = build_retriever(torch.float32, adapter=None if trainable == 'all' else UNIADAPTER, trainable=trainable)
        found = gradients(model)
        assert set(found) <= model.declared
        loss = multimodal_pass(model).sum()
        with FlopCounterMode(display=False) as counter:
            loss.backward()
        flops[trainable] = counter.get_total_flops()
        frozen = [param for name, param in model.named_parameters() if name not in model.declared]
        assert all(param.grad is None for param in frozen)
    assert flops['heads'] < 0.75 * flops['all']
