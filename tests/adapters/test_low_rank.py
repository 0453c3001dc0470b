"""Low-rank methods equal the same model with the weights that their formulas say."""

import math

import pytest
import torch

from tests.changed_weights import assert_equals_changed_weights
from vlpeft.testing import SUBJECTS

Q_V_FFN = dict(kinds=['self_attn', 'ffn'], linears=['q', 'v', 'fc1', 'fc2'])


def lora(scale, pissa=False):
    def formula_of(state):
        def formula(key, weight, bias):
            a, b = (state[f'layers.{key}.{side}.weight'] for side in ('down', 'up'))
            new = weight + scale * b @ a
            if pissa:
                a, b = (state[f'layers.{key}.first_{side}.weight'] for side in ('down', 'up'))
                new = new - scale * b @ a
            offset = state.get(f'biases.layers.{key}.offset')
            return new, bias if offset is None else bias + offset

        return formula

    return formula_of


def dora(scale):
    """Row by row; the length of the changed row is a constant."""

    def formula_of(state):
        def formula(key, weight, bias):
            change = scale * state[f'layers.{key}.up.weight'] @ state[f'layers.{key}.down.weight']
            lengths = state[f'layers.{key}.magnitude']
            rows = []
            for row, more, length in zip(weight, change, lengths):
                norm = math.sqrt(sum(x * x for x in (row + more).tolist()))
                rows.append(length / norm * (row + more))
            return torch.stack(rows), bias

        return formula

    return formula_of


def vera(state):
    def formula(key, weight, bias):
        b, d = state[f'layers.{key}.b'], state[f'layers.{key}.d']
        a = state['projection.down'][:, : weight.shape[1]]
        wide = state['projection.up'][: len(weight)]
        return weight + torch.einsum('o,or,r,ri->oi', b, wide, d, a), bias

    return formula


def aurora(state):
    def formula(key, weight, bias):
        u, v = state[f'downs.{weight.shape[1]}.weight'], state[f'ups.{len(weight)}.weight']
        core, p = state['core.weight'], state[f'layers.{key}.p']
        if core.ndim == 1:
            return weight + torch.einsum('k,k,ok,ki->oi', core, p, v, u), bias
        return weight + torch.einsum('ijk,k,oj,ia->oa', core, p, v, u), bias

    return formula


METHODS = dict(
    lora=(dict(type='LoRA', rank=3, alpha=6), lora(2)),
    rslora=(dict(type='LoRA', rank=4, alpha=3, scaling='rslora'), lora(1.5)),
    scale_one=(dict(type='LoRA', rank=4), lora(1)),
    pissa=(dict(type='LoRA', rank=3, alpha=6, init='pissa'), lora(2, pissa=True)),
    biases=(dict(type='LoRA', rank=2, bias='adapted'), lora(1)),
    dora=(dict(type='DoRA', rank=3, alpha=6), dora(2)),
    rsdora=(dict(type='DoRA', rank=4, alpha=3, scaling='rslora'), dora(1.5)),
    vera=(dict(type='VeRA', rank=5), vera),
    vera_drawn=(dict(type='VeRA', rank=5, seed=3, save_projection=False), vera),
    aurora=(dict(type='Aurora', rank=3), aurora),
    aurora_full=(dict(type='Aurora', rank=3, core='full'), aurora),
)


# Fused projections stored (in, out) and (out, in), maps without biases, narrower keys and values, cross-attentions.
MODELS = ('bart', 'gpt2', 'vit', 'llama', 't5_gated', 'dinov2_giant')
WITHOUT_BIASES = ('llama', 't5_gated')


@pytest.mark.parametrize(
    'method, name', [(m, n) for m in METHODS for n in MODELS if m != 'biases' or n not in WITHOUT_BIASES]
)
def test_outputs_and_gradients_are_those_of_changed_weights(method, name):
    config, formula_of = METHODS[method]
    assert_equals_changed_weights(SUBJECTS[name], dict(config, targets={}), formula_of)


@pytest.mark.parametrize('name', ['bart', 'gpt2'])
@pytest.mark.parametrize('method', ['pissa', 'biases', 'dora', 'vera', 'aurora', 'aurora_full'])
def test_in_single_precision(method, name):
    config, formula_of = METHODS[method]
    assert_equals_changed_weights(SUBJECTS[name], dict(config, targets=Q_V_FFN), formula_of, torch.float32)
