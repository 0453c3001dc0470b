"""Bottleneck adapters against a slow restatement: every kind of sub-layer, linear maps, forms, positions, norms."""

import pytest
import torch

import vlpeft
from tests.slow_seq2seq import SlowVLPET, check_formulas, gelu_tanh, layer_norm, linear, slow_logits
from tests.tiny import randomise
from tests.tiny_seq2seq import BACKBONES, AdaptedLM, build_adapted, build_lm, random_texts
from tests.watching import watch
from vlpeft.adapters.bottleneck_layer import BottleneckLayer
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS

BASE = dict(type='Bottleneck', bottleneck=6, scale=0.7)
VALUES = dict(towers=['decoder'], kinds=['cross_attn'], linears=['v'])
EXACT = dict(rtol=1e-8, atol=1e-10)


class SlowBottleneck(SlowVLPET):
    """h + s f(h), h + s f(x), at values v + s f(e), on the stream x + h + s f(x + h) or y + s f(y)."""

    def f(self, u, name):
        act = (lambda v: v.clamp(min=0)) if 'act_cfg' in self.options else gelu_tanh
        if self.options.get('norm_before'):
            u = layer_norm(u, self.state, f'{name}.norm_before')
        f = linear(act(linear(u, self.state, f'{name}.down')), self.state, f'{name}.up')
        return layer_norm(f, self.state, f'{name}.norm_after') if self.options.get('norm_after') else f

    def change(self, place, h, source):
        name = f'layers.{place}'
        if f'{name}.down.weight' not in self.state:
            return h
        added = torch.stack([self.options['scale'] * self.f(token, name) for token in source])
        return h + added if self.options.get('residual', True) else added

    def branch(self, place, x, h, real):
        if self.options.get('position') == 'stream':
            return h if self.is_post_norm else self.change(place, h, x + h)
        return self.change(place, h, x if self.options.get('form') == 'parallel' else h)

    def value(self, place, v, e):
        return self.branch(place, e, v, None)


def expected_logits(model, options, *batch):
    pet = SlowBottleneck(dict(model.adapter.named_parameters()), options)
    pet.is_post_norm = model.lm.config.model_type == 'bart'

    def add_and_change(x, h, place, norm, real, add):
        y = add(x, h, place, norm, real)
        return pet.change(place, y, y)

    on_stream = pet.is_post_norm and options.get('position') == 'stream'
    return slow_logits(model, pet, *batch, add=add_and_change if on_stream else None)


@pytest.mark.parametrize(
    'options',
    [
        dict(targets=dict()),
        dict(targets=dict(), form='parallel'),
        dict(targets=dict(towers=['decoder'], kinds=['cross_attn'], depths=[-1])),
        dict(targets=VALUES, form='parallel'),
        # Houlsby et al., Pfeiffer et al. and the scaled parallel form of He et al., as the page writes them.
        dict(targets=dict(kinds=['self_attn', 'ffn'])),
        dict(targets=dict(kinds=['ffn']), position='stream', act_cfg=dict(type='ReLU')),
        dict(targets=dict(kinds=['ffn']), form='parallel', act_cfg=dict(type='ReLU'), scale=4.0),
        dict(targets=dict(), position='stream', norm_after=True),
        dict(targets=dict(), norm_before=True),
        dict(targets=dict(kinds=['ffn']), residual=False, norm_before=True, norm_after=True),
    ],
    ids=[
        'sequential',
        'parallel',
        'last-cross',
        'values',
        'houlsby',
        'pfeiffer',
        'scaled-parallel',
        'stream',
        'norm',
        'no-residual',
    ],
)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_the_whole_model_equals_the_formulas(backbone, options):
    options = dict(BASE, **options)
    model, batch = build_adapted(backbone, options), random_texts()
    expected = expected_logits(model, options, *batch)
    check_formulas(model, expected, batch, list(model.adapter.parameters()), **EXACT)


@pytest.mark.parametrize('name', ['gpt2', 'llama', 'opt', 'opt_post_norm', 'vit', 'dinov2'])
def test_on_the_stream_after_the_ffn_it_changes_what_the_next_block_gets(name):
    """y + s f(y), where y is what the block gave without it; also where the library keeps what blocks return."""
    config = dict(BASE, position='stream', targets=dict(kinds=['ffn'], depths=[0]))
    adapter = vlpeft.attach(SUBJECTS[name].model(), config, check_after=0)
    randomise(adapter.sets, seed=1)
    (tower,) = adapter.towers.values()
    after = watch(tower.module, tower.blocks[1].input)
    with adapter.use(None):
        SUBJECTS[name].run(adapter)
    y = after.value
    SUBJECTS[name].run(adapter)
    (layer,) = adapter.sets['default'].layers.values()
    torch.testing.assert_close(after.value, y + 0.7 * layer(y), **EXACT)
    assert (after.value - y).abs().max() > 0.05


@pytest.mark.parametrize('share, count', [('none', 4), ('down', 3), ('up', 3)])
def test_what_the_tasks_share_is_there_once(share, count):
    config = dict(BASE, targets=VALUES, tasks=['a', 'b'], share=share, init='zero_up', norm_before=True)
    model = AdaptedLM(build_lm('bart'), config).double()
    maps = [module for module in model.adapter.modules() if isinstance(module, torch.nn.Linear)]
    assert len(maps) == 2 * count and len({id(one) for one in maps}) == len(maps)
    batch = random_texts()
    with model.switch.use(None), torch.no_grad():
        base = model(*batch)
    for task in ('a', 'b'):
        with model.switch.task(task), torch.no_grad():
            assert torch.equal(model(*batch), base)


def test_clamped_numbers_are_those_of_the_maps():
    layer = BottleneckLayer(16, 16, 4, init='clamped', norms=(True, True))
    assert layer.norm_before.weight.eq(1).all() and layer.norm_after.weight.eq(1).all()
    assert all(0 < param.abs().max() <= 2e-3 for param in (layer.down.bias, layer.up.weight))


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
        for one in (layer.down, layer.up):
            assert abs(one.weight.std() - 0.02) < 0.002 and not one.bias.any()


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
        (dict(position='y'), ValueError, r"Bottleneck: position='y'; choose from \('branch', 'stream'\)"),
        (dict(position='stream', form='parallel'), ValueError, "position='stream' is that of the sequential form"),
        (dict(position='stream', targets=VALUES), ValueError, "position='stream' is that of the sequential form"),
        (dict(position='stream', residual=False), ValueError, "residual=False replaces a branch's output"),
        (dict(share='down'), ValueError, r"share='down' is about tasks; name them with tasks=\[…\]"),
        (dict(tasks=['a'], share='both'), ValueError, r"share='both'; choose from \('none', 'down', 'up'\)"),
        (dict(tasks=[]), ValueError, r'Bottleneck: tasks=\[\]; it is a list of different names'),
        (dict(tasks='vqa'), ValueError, "tasks='vqa'; it is a list of different names"),
        (dict(tasks=['a', 'a']), ValueError, 'it is a list of different names'),
        (dict(tasks=['a.b']), ValueError, 'it is a list of different names'),
        (dict(tasks=['a', 'values']), ValueError, "Bottleneck: no task can be called 'values'"),
    ],
)
def test_impossible_options_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        AdaptedLM(build_lm('bart'), dict(dict(BASE, targets=dict()), **options))
