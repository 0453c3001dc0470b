"""Bottleneck adapters against a slow restatement: every kind of sub-layer, linear maps, both forms."""

import pytest
import torch

from tests.slow_seq2seq import SlowVLPET, slow_model
from tests.tiny_seq2seq import BACKBONES, AdaptedLM, KeepDouble, build_adapted, build_lm, random_texts
from tests.watching import watch
from vlpeft.sites import SiteError

BASE = dict(type='Bottleneck', bottleneck=6, scale=0.7)
VALUES = dict(towers=['decoder'], kinds=['cross_attn'], linears=['v'])
EXACT = dict(rtol=1e-8, atol=1e-10)


class SlowBottleneck(SlowVLPET):
    """h + s f(h), h + s f(x), at values v + s f(e)."""

    def branch(self, place, x, h, real):
        name = f'layers.{place}'
        if f'{name}.down.weight' not in self.state:
            return h
        source = x if self.options.get('form') == 'parallel' else h
        return h + self.options['scale'] * torch.stack([self.bottleneck(token, name) for token in source])

    def value(self, place, v, e):
        return self.branch(place, e, v, None)


def slow_logits(model, options, ids, mask, target):
    slow = slow_model(dict(model.lm.named_parameters()), model.lm.config, {}, options)
    slow.pet = SlowBottleneck(dict(model.adapter.named_parameters()), options)
    return torch.stack([slow.logits(target[i], slow.encoder(ids[i], real), real) for i, real in enumerate(mask.bool())])


@pytest.mark.parametrize(
    'options',
    [
        dict(targets=dict()),
        dict(targets=dict(), form='parallel'),
        dict(targets=dict(towers=['decoder'], kinds=['cross_attn'], depths=[-1])),
        dict(targets=VALUES, form='parallel'),
    ],
    ids=['sequential', 'parallel', 'last-cross', 'values'],
)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_the_whole_model_equals_the_formulas(backbone, options):
    options = dict(BASE, **options)
    model, batch = build_adapted(backbone, options), random_texts()
    with KeepDouble():
        found = model(*batch)
    expected = slow_logits(model, options, *batch)
    torch.testing.assert_close(found, expected, **EXACT)
    params = list(model.adapter.parameters())
    for fast, slow in zip(*(torch.autograd.grad(y.square().sum(), params) for y in (found, expected))):
        torch.testing.assert_close(fast, slow, **EXACT)
        assert slow.abs().max() > 0
    with model.switch.use(None), torch.no_grad():
        assert (model(*batch) - found).abs().max() > 0.05


@pytest.mark.parametrize('form', ['sequential', 'parallel'])
def test_any_linear_map_can_be_adapted(form):
    model = build_adapted('t5', dict(BASE, form=form, targets=dict(towers=['encoder'], kinds=['ffn'], linears=['fc1'])))
    module, site = model.towers['encoder'].module, model.towers['encoder'].blocks[0].sublayers['ffn'].linears['fc1']
    x, y = watch(module, site.input), watch(module, site.output)
    layer = model.adapter.layers['encoder_0_ffn_fc1']
    assert (layer.down.in_features, layer.up.out_features) == ((16 if form == 'parallel' else 24), 24)
    with torch.no_grad():
        model(*random_texts())
        bare = x.value @ module.get_submodule(site.path).weight.T
        expected = bare + 0.7 * layer(x.value if form == 'parallel' else bare)
    torch.testing.assert_close(y.value, expected, rtol=1e-12, atol=1e-12)


def test_the_non_linearity_is_a_config():
    model = build_adapted('bart', dict(BASE, targets=VALUES, act_cfg=dict(type='ReLU')))
    layer = next(iter(model.adapter.layers.values()))
    u = torch.randn(5, 16).double()
    torch.testing.assert_close(layer(u), layer.up(layer.down(u).clamp(min=0)))


@pytest.mark.parametrize('targets', [dict(), VALUES], ids=['sublayers', 'values'])
@pytest.mark.parametrize('backbone', BACKBONES)
def test_a_zero_up_projection_starts_at_the_base(backbone, targets):
    model = AdaptedLM(build_lm(backbone), dict(BASE, form='parallel', targets=targets, init='zero_up')).double()
    batch = random_texts()
    with torch.no_grad():
        adapted = model(*batch)
        with model.switch.use(None):
            assert torch.equal(model(*batch), adapted)
    assert all(layer.down.weight.any() and layer.down.bias.any() for layer in model.adapter.layers.values())


def test_the_default_start_is_near_the_base():
    torch.manual_seed(0)
    adapter = AdaptedLM(build_lm('bart'), dict(BASE, bottleneck=96, targets=dict())).adapter
    for layer in adapter.layers.values():
        for linear in (layer.down, layer.up):
            assert abs(linear.weight.std() - 0.02) < 0.002 and not linear.bias.any()


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(form='serial'), ValueError, r"Bottleneck: form='serial'; choose from \('sequential', 'parallel'\)"),
        (
            dict(init='default'),
            ValueError,
            r"Bottleneck: init='default'; choose from \('normal', 'zero_up', 'clamped'\)",
        ),
        (
            dict(targets=dict(towers=['encoder'], kinds=['cross_attn'])),
            SiteError,
            r"Bottleneck: unknown kinds in tower encoder \['cross_attn'\]; there are \['self_attn', 'ffn'\]",
        ),
        (
            dict(targets=dict(kinds=['ffn'], linears=['v'])),
            SiteError,
            r'Bottleneck: unknown linears of tower \"encoder\"',
        ),
    ],
)
def test_impossible_options_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        AdaptedLM(build_lm('bart'), dict(dict(BASE, targets=dict()), **options))
