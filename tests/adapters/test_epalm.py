"""eP-ALM's schedule, forms and errors."""

import pytest
import torch
from torch import nn

from tests.tiny_epalm import EPALM, LAYERS, LMS, VISION, VOCAB, build_perceptual, perceptual_config
from tests.tiny_seq2seq import build_lm
from vlpeft.adapters.epalm import EPALM as Method
from vlpeft.adapters.epalm import injection_levels
from vlpeft.adapters.soft_prompt import SoftPrompt
from vlpeft.models.backbones import build_causal_lm
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError, Tower, describe
from vlpeft.testing.backbones import WIDTH


@pytest.mark.parametrize(
    'levels, start, end, expected',
    [
        (6, 19, 31, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        (6, 11, 23, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        (5, 19, 31, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4]),
        (1, 19, 31, [0] * 12),
        (12, 19, 31, list(range(12))),
        (7, 19, 31, [0, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6]),
        (4, 2, 5, [0, 1, 2]),
        (3, 0, 3, [0, 1, 2]),
    ],
)
def test_schedule(levels, start, end, expected):
    assert injection_levels(levels, start, end) == expected


def towers(name='opt'):
    with torch.device('meta'):
        lm = build_causal_lm(LMS[name], VOCAB)
    return dict(lm=describe(lm, 'lm'), encoder=Tower('encoder', VISION, (), nn.Module()))


def test_bindings_follow_the_schedule():
    there = towers()
    method = Method(there, levels=3, start=1, end=7, prompt_length=0)
    found = [(edit.depth, edit.unit.level, edit.write.path) for edit in method.bindings(there)]
    assert found == [(i, (i - 1) // 2, f'model.decoder.layers.{i}') for i in range(1, 7)]
    for edit in method.bindings(there):
        assert edit.unit.connector is method.connector[edit.unit.level]
    shared = Method(there, levels=3, start=1, end=7, shared_connector=True)
    assert len(shared.connector) == 1 and all(
        edit.unit.connector is shared.connector[0] for edit in list(shared.bindings(there))[1:]
    )


def test_init():
    torch.manual_seed(0)
    prompt = SoftPrompt(200, 50, 50)
    table = prompt.table.detach()
    assert abs(float(table.std()) - 1) < 0.05 and abs(float(table.mean())) < 0.05
    expected = prompt.table @ prompt.mlp[0].weight.T + prompt.mlp[0].bias
    expected = torch.tanh(expected) @ prompt.mlp[2].weight.T + prompt.mlp[2].bias
    torch.testing.assert_close(prompt(), expected)
    assert SoftPrompt(2, 5)().shape == (2, 5) and SoftPrompt(2, 5).mlp is None


def test_names_and_roles():
    method = Method(towers('opt_post'), levels=2, start=1, end=3, prompt_length=4)
    shapes = {name: tuple(param.shape) for name, param in method.named_parameters()}
    width = LMS['opt_post']['word_embed_proj_dim']
    connectors = {
        f'connector.{k}.{part}': shape
        for k in range(2)
        for part, shape in (('weight', (WIDTH, VISION)), ('bias', (WIDTH,)))
    }
    prompt = {'prompt.table': (4, width)}
    mlp = {
        f'prompt.mlp.{i}.{part}': shape
        for i in (0, 2)
        for part, shape in (('weight', (width, width)), ('bias', (width,)))
    }
    assert shapes == {**connectors, **prompt, **mlp}
    assert {name for name in shapes if method.role_of(name) == 'soft_prompt'} == {*prompt, *mlp}
    assert {name for name in shapes if method.role_of(name) == 'connector'} == set(connectors)


def test_forms():
    def names(**options):
        return {name.split('.')[0] for name, _ in build_perceptual(adapter=options).adapter.named_parameters()}

    assert names(levels=0, start=None, end=None) == {'prompt'} and names(prompt_length=0) == {'connector'}
    assert names(prompt_length=1) == {'prompt', 'connector'}
    with pytest.raises(SiteError, match='the method has no site to act on'):
        build_perceptual(adapter=dict(levels=0, prompt_length=0))


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(start=None), ValueError, r'EPALM: start=None, end=7; choose 0 <= start < end <= 8'),
        (dict(end=LAYERS + 1), ValueError, r'end=9; choose 0 <= start < end <= 8, the layers of the language model'),
        (dict(start=7), ValueError, r'start=7, end=7; choose'),
        (
            dict(levels=6, start=2, end=7),
            ValueError,
            r'levels=6, but only 5 layers \(start=2, end=7\) would read one each',
        ),
    ],
)
def test_errors(options, error, message):
    with pytest.raises(error, match=message):
        Method(towers(), **{**{key: value for key, value in EPALM.items() if key != 'type'}, **options})


def test_towers_must_be_there():
    there = towers()
    with pytest.raises(SiteError, match='EPALM needs a tower "encoder"; there are: lm'):
        Method(dict(lm=there['lm']))
    decoder = describe(build_lm('bart').get_decoder(), 'lm')
    with pytest.raises(SiteError, match=r'tower "lm" \(BartDecoder\) is no decoder-only language model'):
        Method(dict(lm=decoder, encoder=there['encoder']))


SIZES = {'350m': (24, 1024, 16, 512), '2.7b': (32, 2560, 32, 2560), '6.7b': (32, 4096, 32, 4096)}
SPAN, PT = dict(start=19, end=31), dict(shared_connector=True, prompt_mlp=False)


@pytest.mark.parametrize(
    'size, arch, options, connector, prompt, trainable, total',
    [
        ('2.7b', 'b', SPAN, 11_811_840, 13_137_920, 24_949_760, 2_762_345_216),
        ('6.7b', 'l', dict(SPAN, **PT), 4_198_400, 40_960, 4_239_360, 6_966_014_976),
        ('2.7b', 'b', dict(SPAN, **PT), 1_968_640, 25_600, 1_994_240, 2_651_596_800 + 85_798_656 + 1_994_240),
        ('350m', 'b', dict(start=11, end=23), 4_724_736, 530_432, 5_255_168, 331_196_416 + 85_798_656 + 5_255_168),
    ],
)
def test_published_counts(size, arch, options, connector, prompt, trainable, total):
    from vlpeft.models import count_parameters

    layers, width, heads, words = SIZES[size]
    lm = dict(
        model_type='opt',
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        ffn_dim=4 * width,
        word_embed_proj_dim=words,
        do_layer_norm_before=size != '350m',
    )
    encoder = dict(type='mmpretrain.VisionTransformer', arch=arch, img_size=224, patch_size=16, out_type='raw')
    with torch.device('meta'):
        model = MODELS.build(
            dict(perceptual_config(), lm=lm, vocab_size=50272, encoder=encoder, adapter=dict(type='EPALM', **options))
        )
    counts = count_parameters(model)
    assert counts['trainable_by_role'] == dict(connector=connector, soft_prompt=prompt)
    assert (counts['trainable'], counts['total']) == (trainable, total)
    assert set(counts['by_tower']) == {'lm', 'encoder'} and sum(counts['by_tower'].values()) == total


def test_adapters_in_the_language_model_as_released():
    """Bottlenecks after every FFN, drawn from N(0, 1e-3) and clamped."""
    bottleneck = dict(
        type='Bottleneck',
        bottleneck=WIDTH // 4,
        init='clamped',
        act_cfg=dict(type='ReLU'),
        targets=dict(towers=['lm'], kinds=['ffn']),
    )
    torch.manual_seed(0)
    model = MODELS.build(perceptual_config(adapter=[dict(EPALM), bottleneck]))
    layers = model.adapter.parts[1].layers
    assert len(layers) == LAYERS
    drawn = torch.cat([param.detach().flatten() for param in layers.parameters()])
    assert float(drawn.abs().max()) == pytest.approx(2e-3) and 8e-4 < float(drawn.std()) < 1e-3
    roles = {model.role_of(name) for name in model.declared}
    assert roles == {'connector', 'soft_prompt', 'adapter'}
    h = torch.randn(2, 3, WIDTH)
    unit = layers['lm_0_ffn']
    expected = h + unit.up(torch.relu(unit.down(h)))
    torch.testing.assert_close(unit.add_sequential(h), expected)
    with pytest.raises(ValueError, match=r"init='small'; choose from \('normal', 'zero_up', 'clamped'\)"):
        MODELS.build(perceptual_config(adapter=[dict(EPALM), dict(bottleneck, init='small')]))
