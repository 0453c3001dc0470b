"""The gate as a method of its own, after any adapter that changes a branch's output."""

import pytest
import torch
from transformers import BartConfig, BartModel

from tests.slow_seq2seq import SlowVLPET, slow_model
from tests.tiny_seq2seq import BACKBONES, AdaptedLM, KeepDouble, build_adapted, build_lm, random_texts
from vlpeft.adapters import ComposedAdapter
from vlpeft.adapters.gates import GRANULARITIES
from vlpeft.sites import SiteError, describe

ENCODER = dict(towers=['encoder'], kinds=['self_attn', 'ffn'])
VALUES = dict(towers=['decoder'], kinds=['cross_attn'], linears=['v'])
GATE = dict(type='Gate', bottleneck=6, scale=0.7, targets=ENCODER)
BOTTLENECK = dict(type='Bottleneck', bottleneck=8, targets=ENCODER)


def run(model):
    with torch.no_grad(), KeepDouble():
        return model(*random_texts())


class SlowGate(SlowVLPET):
    """s · G(x, h) ⊙ h."""

    def branch(self, place, x, h, real):
        if not place.startswith('encoder'):
            return h
        gates = self.gate(x, h, real, f'layers.{place}.gate')
        return torch.stack([self.options['scale'] * g * token for g, token in zip(gates, h)])


@pytest.mark.parametrize('granularity', GRANULARITIES)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_alone_it_weighs_the_bare_branch(backbone, granularity):
    options = dict(GATE, granularity=granularity)
    model, (ids, mask, target) = build_adapted(backbone, options), random_texts()
    slow = slow_model(dict(model.lm.named_parameters()), model.lm.config, {}, options)
    slow.pet = SlowGate(dict(model.adapter.named_parameters()), options)
    with torch.no_grad():
        for i, real in enumerate(mask.bool()):
            expected = slow.logits(target[i], slow.encoder(ids[i], real), real)
            torch.testing.assert_close(run(model)[i], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('granularity', GRANULARITIES)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_after_a_bottleneck_it_is_vl_pet(backbone, granularity):
    vlpet = build_adapted(
        backbone,
        dict(type='VLPET', granularity=granularity, bottleneck=8, gate_bottleneck=6, value_bottleneck=4, scale=0.7),
    )
    parts = [
        BOTTLENECK,
        dict(GATE, granularity=granularity),
        dict(type='Bottleneck', bottleneck=4, form='parallel', targets=VALUES),
    ]
    composed, turned = build_adapted(backbone, parts), build_adapted(backbone, [parts[1], parts[0], parts[2]])
    state = vlpet.adapter.state_dict()

    def keys(order):
        for key in state:
            part, place, rest = key.split('.', 2)
            index = 2 if part == 'values' else int(rest.startswith('gate.'))
            rest = rest.removeprefix('bottleneck.') if index == 0 else rest
            yield f'parts.{order.index(index)}.layers.{place}.{rest}', state[key]

    composed.adapter.load_state_dict(dict(keys([0, 1, 2])))
    turned.adapter.load_state_dict(dict(keys([1, 0, 2])))
    torch.testing.assert_close(run(composed), run(vlpet), rtol=1e-10, atol=1e-12)
    assert (run(turned) - run(vlpet)).abs().max() > 1e-3
    counts = [sum(p.numel() for p in adapter.parameters()) for adapter in (composed.adapter, vlpet.adapter)]
    assert counts[0] == counts[1]
    roles = {composed.adapter.role_of(name) for name, _ in composed.adapter.named_parameters()}
    assert roles == {'adapter', 'gate'}


def test_the_transfer_row_has_the_published_size():
    """VL-Adapter in the encoder, the gate, and adapters at the outputs of the decoder's cross-attentions only."""
    with torch.device('meta'):
        lm = BartModel(
            BartConfig(d_model=768, encoder_layers=6, decoder_layers=6, encoder_ffn_dim=3072, decoder_ffn_dim=3072)
        )
        towers = {name: describe(getattr(lm, f'get_{name}')(), name) for name in ('encoder', 'decoder')}
        adapter = ComposedAdapter(
            towers,
            [
                dict(type='Bottleneck', targets=ENCODER),
                dict(type='Gate', targets=ENCODER),
                dict(type='Bottleneck', targets=dict(towers=['decoder'], kinds=['cross_attn'])),
            ],
        )
    assert [sum(p.numel() for p in part.parameters()) for part in adapter.parts] == [1_779_840, 1_779_840, 889_920]


def test_zero_up_starts_at_half():
    model = AdaptedLM(build_lm('t5'), dict(GATE, init='zero_up')).double()
    h, x = torch.randn(2, 2, 5, 16).double()
    torch.testing.assert_close(model.adapter.layers['encoder_1_ffn'].weigh(h, x), 0.35 * h)


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(granularity='tiny'), ValueError, "Gate: granularity='tiny'; choose from"),
        (dict(targets=VALUES), SiteError, r"Gate acts on whole sub-layers, but its targets name linears \['v'\]"),
        (
            dict(targets=dict(depths=[5])),
            SiteError,
            r'Gate: unknown depths of tower "encoder" \[5\]; there are \[0, 1\]',
        ),
    ],
)
def test_impossible_options_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        AdaptedLM(build_lm('bart'), dict(GATE, **options))
