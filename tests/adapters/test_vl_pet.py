"""VL-PET against a slow restatement on whole BART and T5 models; closed forms, sizes, initialisation, options."""

from dataclasses import replace

import pytest
import torch
from transformers import BartConfig, BartModel, T5Config, T5Model

import vlpeft
from tests.majors import FIVE, MASKS
from tests.plain_models import PLAIN
from tests.slow_seq2seq import SlowVLPET, slow_model
from tests.tiny import build_retriever, random_batch, retriever_config, write_vocabulary
from tests.tiny_seq2seq import BACKBONES, AdaptedLM, KeepDouble, build_adapted, build_lm, random_texts
from tests.towers import VISION
from vlpeft.adapters.gates import GRANULARITIES
from vlpeft.registry import ADAPTERS, MODELS
from vlpeft.sites import SiteError, describe
from vlpeft.testing.backbones import WIDTH

BASE = dict(type='VLPET', bottleneck=8, gate_bottleneck=6, value_bottleneck=4, scale=0.7)
EXACT = dict(rtol=1e-8, atol=1e-10)


def slow_of(model, options, heads=1):
    return slow_model(
        dict(model.lm.named_parameters()), model.lm.config, dict(model.adapter.named_parameters()), options, heads
    )


def slow_logits(model, options, ids, mask, target, heads=1):
    slow = slow_of(model, options, heads)
    out = []
    for i, real in enumerate(mask.bool()):
        out.append(slow.logits(target[i], slow.encoder(ids[i], real), real))
    return torch.stack(out)


def gradients(model, logits):
    return torch.autograd.grad(logits.square().sum(), list(model.adapter.parameters()))


OPTIONS = [dict(granularity=name) for name in GRANULARITIES] + [
    dict(granularity='middle_y', middle_y='1+sigmoid(z)'),
    dict(granularity='middle_x', gate_input='h'),
    dict(granularity='small', gate_input='h', mean='masked'),
]


@pytest.mark.parametrize('options', OPTIONS, ids=lambda options: '-'.join(options.values()))
@pytest.mark.parametrize('backbone', BACKBONES)
def test_the_whole_model_equals_the_formulas(backbone, options):
    options = dict(BASE, **options)
    model, batch = build_adapted(backbone, options), random_texts()
    with KeepDouble():
        found = model(*batch)
    expected = slow_logits(model, options, *batch)
    torch.testing.assert_close(found, expected, **EXACT)
    for fast, slow in zip(gradients(model, found), gradients(model, expected)):
        torch.testing.assert_close(fast, slow, **EXACT)
        assert slow.abs().max() > 0
    with model.switch.use(None), torch.no_grad():
        assert (model(*batch) - found).abs().max() > 0.1


@pytest.mark.parametrize('granularity', GRANULARITIES)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_single_precision(backbone, granularity):
    options = dict(BASE, granularity=granularity)
    model, batch = build_adapted(backbone, options, torch.float32), random_texts()
    found, expected = model(*batch), slow_logits(model, options, *batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for fast, slow in zip(gradients(model, found), gradients(model, expected)):
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4 * slow.abs().max().item())


@pytest.mark.parametrize('backbone', BACKBONES)
def test_vision_tokens_of_the_slow_model(backbone):
    """BART adds neither position nor norm to them, T5 no relative bias; their masks are those of text."""
    model = build_adapted(backbone, dict(BASE, granularity='large'))
    ids, mask, _ = random_texts()
    vision = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(4)).double()
    encoder, total = model.lm.get_encoder(), ids.shape[1] + 5
    real = torch.cat([mask, mask.new_ones(2, 5)], dim=1)
    additive = ((1 - real.double()) * torch.finfo(torch.float64).min)[:, None, None]
    with torch.no_grad(), KeepDouble():
        x = encoder.embed_tokens(ids)
        if backbone == 'bart':
            x = encoder.layernorm_embedding(x + encoder.embed_positions(ids))
        x, bias = torch.cat([x, vision], dim=1), None
        if backbone == 't5':
            bias = torch.zeros(1, 4, total, total, dtype=torch.float64)
            bias[..., :-5, :-5] = encoder.block[0].layer[0].SelfAttention.compute_bias(total - 5, total - 5)
            bias = bias if FIVE else bias + additive
        for layer in encoder.layers if backbone == 'bart' else encoder.block:
            out = layer(x, additive, *[None] * (MASKS - 1)) if backbone == 'bart' else layer(x, additive, bias)
            x = out[0] if isinstance(out, tuple) else out
        x = x if backbone == 'bart' else encoder.final_layer_norm(x)
        slow = slow_of(model, dict(BASE, granularity='large'))
        for i in range(2):
            torch.testing.assert_close(x[i], slow.encoder(ids[i], mask[i].bool(), vision[i]), **EXACT)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_heads_of_the_down_projection_change_nothing(backbone):
    options = dict(BASE, granularity='large')
    models = [build_adapted(backbone, dict(options, heads=heads)) for heads in (1, 8)]
    batch = random_texts()
    with torch.no_grad(), KeepDouble():
        found = models[0](*batch)
        assert torch.equal(models[1](*batch), found)
        for heads in (2, 4):
            torch.testing.assert_close(slow_logits(models[0], options, *batch, heads=heads), found, **EXACT)


@pytest.mark.parametrize('scale', [1.0, 0.3])
@pytest.mark.parametrize('granularity, factor', [('large', 0.5), ('middle_x', 0.5), ('middle_y', 1.0), ('small', 0.5)])
def test_zeroed_up_projections_and_gates_scale_the_branch(granularity, factor, scale):
    model = AdaptedLM(build_lm('t5'), dict(BASE, granularity=granularity, scale=scale, init='zero_up')).double()
    h, x = torch.randn(2, 2, 5, WIDTH).double()
    for layer in model.adapter.layers.values():
        torch.testing.assert_close(layer.adapt(h, x), scale * factor * h, rtol=1e-15, atol=0)


def padded(ids, mask, extra=3):
    return torch.cat([ids, ids.new_ones(len(ids), extra)], 1), torch.cat([mask, mask.new_zeros(len(ids), extra)], 1)


def change_under_padding(model, full=False):
    """Largest change of any logit by three more padded positions in the encoder."""
    ids, mask, target = random_texts()
    mask = torch.ones_like(mask) if full else mask
    with torch.no_grad(), KeepDouble():
        return (model(*padded(ids, mask), target) - model(ids, mask, target)).abs().max()


@pytest.mark.parametrize('backbone', BACKBONES)
def test_padding_moves_nothing_but_the_small_gate(backbone):
    for granularity in GRANULARITIES:
        change = change_under_padding(build_adapted(backbone, dict(BASE, granularity=granularity)))
        assert change > 1e-3 if granularity == 'small' else change < 1e-12


@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('backbone', BACKBONES)
def test_a_masked_mean_makes_the_small_gate_independent_of_padding(backbone, full):
    """Without any padding BART's encoder passes no mask at all."""
    model = build_adapted(backbone, dict(BASE, granularity='small', mean='masked'))
    assert change_under_padding(model, full) < 1e-12


def test_a_masked_mean_on_blip():
    options = dict(BASE, granularity='small', value_targets=dict(towers=['text'], kinds=['cross_attn'], linears=['v']))
    ids, mask, _ = random_texts()
    ids = ids % 20 + 1
    for mean, invariant in (('all', False), ('masked', True)):
        model = build_retriever(adapter=dict(options, mean=mean, targets=dict(towers=['text'])))
        with torch.no_grad():
            change = (model.text(*padded(ids, mask))[:, 0] - model.text(ids, mask)[:, 0]).abs().max()
        assert (change < 1e-12) == invariant


def test_a_masked_mean_where_no_mask_passes_is_an_error():
    adapter = dict(BASE, granularity='small', mean='masked', value_bottleneck=None, targets=dict(towers=['vision']))
    with pytest.raises(
        SiteError,
        match="VLPET: mean='masked' needs the mask of padded tokens, which the blocks of "
        "tower 'vision' do not receive; choose mean='all' there",
    ):
        MODELS.build(retriever_config(adapter=adapter))


@pytest.mark.parametrize('kind', ['self_attn', 'cross_attn', 'ffn'])
@pytest.mark.parametrize('backbone', BACKBONES)
def test_a_gate_per_sample_in_a_decoder_is_refused(backbone, kind):
    options = dict(BASE, value_bottleneck=None, targets=dict(towers=['decoder'], kinds=[kind]))
    with pytest.raises(
        SiteError, match=r"VLPET with granularity='small' mixes .* tower \"decoder\" is causal: a token would"
    ):
        AdaptedLM(build_lm(backbone), dict(options, granularity='small'))
    AdaptedLM(build_lm(backbone), dict(options, granularity='middle_x'))


def test_a_gate_per_sample_on_a_packed_stream_is_refused():
    encoder = describe(build_lm('bart').get_encoder(), 'encoder')
    towers = dict(encoder=replace(encoder, packed=True))
    config = dict(BASE, type='VLPET', value_bottleneck=None)
    with pytest.raises(
        SiteError, match=r'the stream of tower "encoder" is packed: .*; choose granularity from \[\'large'
    ):
        ADAPTERS.build(dict(config, granularity='small'), default_args=dict(towers=towers))
    ADAPTERS.build(dict(config, granularity='large'), default_args=dict(towers=towers))


def published(lm, **options):
    with torch.device('meta'):
        towers = {name: describe(getattr(lm, f'get_{name}')(), name) for name in ('encoder', 'decoder')}
        adapter = ADAPTERS.build(dict(type='VLPET', **options), default_args=dict(towers=towers))
    counts = dict(adapter=0, gate=0, value_adapter=0)
    for name, param in adapter.named_parameters():
        counts[adapter.role_of(name)] += param.numel()
    return adapter, counts


def test_published_sizes():
    with torch.device('meta'):
        bart = BartModel(
            BartConfig(
                d_model=768,
                encoder_layers=6,
                decoder_layers=6,
                encoder_ffn_dim=3072,
                decoder_ffn_dim=3072,
                encoder_attention_heads=12,
                decoder_attention_heads=12,
            )
        )
        t5 = T5Model(T5Config(d_model=768, num_layers=12, d_ff=3072, num_heads=12))
    gates = dict(
        large=lambda r: 2 * 768 * r + r + 768, middle_x=lambda r: 769, middle_y=lambda r: 768, small=lambda r: 1537
    )
    visual, norms = dict(bart=1_582_848, t5=1_581_312), dict(bart=19_968, t5=19_200)
    trainable = dict(
        bart=(6_052_416, 4_281_804, 4_281_792, 4_291_020), t5=(17_582_208, 10_499_736, 10_499_712, 10_518_168)
    )
    for name, lm, rank, sites in (('bart', bart, 96, 12), ('t5', t5, 192, 24)):
        for granularity, total in zip(GRANULARITIES, trainable[name]):
            adapter, counts = published(lm, granularity=granularity, bottleneck=rank)
            layer = adapter.layers['encoder_0_ffn'].bottleneck
            assert sum(p.numel() for p in layer.parameters()) == {96: 148_320, 192: 295_872}[rank]
            assert counts == dict(
                adapter=sites * {96: 148_320, 192: 295_872}[rank],
                gate=sites * gates[granularity](rank),
                value_adapter=sites // 2 * 148_320,
            )
            assert sum(counts.values()) + norms[name] + visual[name] == total


def test_barts_initialisation():
    torch.manual_seed(0)
    for granularity in GRANULARITIES:
        adapter = AdaptedLM(build_lm('bart'), dict(type='VLPET', granularity=granularity, bottleneck=96)).adapter
        drawn = [p for name, p in adapter.named_parameters() if not name.endswith('bias')]
        assert len(drawn) == {'large': 4 * 4 + 4, 'middle_y': 4 * 3 + 4}.get(granularity, 4 * 3 + 4)
        for param in drawn:
            assert abs(param.std() - 0.02) < 0.2 * 0.02 if param.numel() > 500 else 0 < param.std() < 0.03
        assert not any(p.any() for name, p in adapter.named_parameters() if name.endswith('bias'))


def test_t5s_initialisation():
    torch.manual_seed(0)
    for granularity in GRANULARITIES:
        adapter = AdaptedLM(build_lm('t5'), dict(BASE, granularity=granularity, init='zero_up')).adapter
        zeroed = {name for name, p in adapter.named_parameters() if not p.any()}
        expected = {
            name
            for name, _ in adapter.named_parameters()
            if '.up.' in name or '.linear.' in name or name.endswith('.z')
        }
        assert zeroed == expected
        down = adapter.layers['encoder_0_ffn'].bottleneck.down
        for param in (down.weight, down.bias):
            assert 0.5 * WIDTH**-0.5 < param.abs().max() <= WIDTH**-0.5


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(heads=3), ValueError, 'VLPET: heads=3 does not divide bottleneck=8'),
        (
            dict(granularity='medium'),
            ValueError,
            r"VLPET: granularity='medium'; choose from \('large', 'middle_x', 'middl",
        ),
        (dict(gate_input='x'), ValueError, r"VLPET: gate_input='x'; choose from \('h\+dh', 'h'\)"),
        (dict(middle_y='z'), ValueError, r"VLPET: middle_y='z'; choose from \('1\+z', '1\+sigmoid\(z\)'\)"),
        (dict(mean='some'), ValueError, r"VLPET: mean='some'; choose from \('all', 'masked'\)"),
        (dict(init='zeros'), ValueError, r"VLPET: init='zeros'; choose from \('normal', 'zero_up'\)"),
        (dict(targets=dict(towers=['lm'])), SiteError, r"VLPET: unknown towers \['lm'\]; there are \['encoder', 'dec"),
        (dict(targets=dict(linears=['v'])), SiteError, 'VLPET acts on whole sub-layers, but its targets name linears'),
    ],
)
def test_impossible_options_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        AdaptedLM(build_lm('bart'), dict(BASE, **options))


def test_a_branch_that_passes_no_module_is_an_error():
    adapter = dict(BASE, value_bottleneck=None, targets=dict(towers=['vision']))
    with pytest.raises(SiteError, match='VLPET edits the output of self_attn, which passes no module in this backbone'):
        MODELS.build(retriever_config(vision=VISION['beit'], adapter=adapter))


BLIP = dict(
    BASE,
    targets=dict(kinds=['self_attn', 'ffn']),
    value_targets=dict(towers=['text'], kinds=['cross_attn'], linears=['v']),
)


@pytest.mark.parametrize('granularity', ['large', 'small'])
def test_blips_branches_and_values_equal_the_formulas(granularity):
    """Of the first blocks, whose inputs are those of the bare model."""
    from tests.sites.test_sites import multimodal_pass
    from tests.watching import watch

    options = dict(BLIP, granularity=granularity)
    model = build_retriever(adapter=options)
    slow = SlowVLPET(dict(model.adapter.named_parameters()), options)
    for name in ('vision', 'text'):
        module, sub = model.towers[name].module, model.towers[name].blocks[0].sublayers['self_attn']
        x, h = watch(module, sub.x), watch(module, sub.h)
        multimodal_pass(model)
        streams, found = x.value, h.value
        with model.switch.use(None):
            multimodal_pass(model)
        for stream, bare, gated in zip(streams, h.value, found):
            expected = slow.branch(f'{name}_0_self_attn', stream, bare, torch.ones(len(stream), dtype=torch.bool))
            torch.testing.assert_close(gated, expected, **EXACT)
    value = model.towers['text'].blocks[0].sublayers['cross_attn'].linears['v']
    e, v = watch(model.text, value.input), watch(model.text, value.output)
    multimodal_pass(model)
    linear = model.text.get_submodule(value.path)
    bare = e.value[0] @ linear.weight.T + linear.bias
    torch.testing.assert_close(v.value[0], slow.value('text_0_cross_attn_v', bare, e.value[0]), **EXACT)


@pytest.mark.parametrize('granularity', ['large', 'small'])
def test_everything_declared_is_trained_on_blip(tmp_path, granularity):
    vocabulary = write_vocabulary(tmp_path / 'vocabulary')
    model = build_retriever(vocabulary=vocabulary, adapter=dict(BLIP, granularity=granularity))
    model.train()
    sum(model(*random_batch(), mode='loss').values()).backward()
    params = dict(model.named_parameters())
    assert all(params[name].grad is not None and params[name].grad.any() for name in model.declared)
    roles = {model.role_of(name) for name in params if name.startswith('adapter.')}
    assert roles == {'adapter', 'gate', 'value_adapter'}


def test_value_adapters_need_a_decoder_where_the_gates_have_places_of_their_own():
    """On a decoder-only model there are none; in the method's own places a missing decoder is an error."""
    lm = PLAIN['llama'].model()
    adapter = vlpeft.attach(lm, dict(type='VLPET', granularity='large', targets=dict(towers=['lm'])))
    assert {role for role in adapter.counts()['trainable_by_role']} == {'adapter', 'gate'}
    with pytest.raises(SiteError, match=r"unknown towers \['encoder'\]"):
        vlpeft.attach(PLAIN['gpt2'].model(), dict(type='VLPET'))
    with pytest.raises(SiteError, match=r"unknown towers \['decoder'\]"):
        options = dict(targets=dict(towers=['lm']), value_targets=dict(towers=['decoder'], linears=['v']))
        vlpeft.attach(PLAIN['gpt2'].model(), dict(type='VLPET', **options))
