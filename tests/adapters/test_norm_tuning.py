"""Norm tuning is the model with other gains and biases of its norms; how its gradients relate to theirs."""

from dataclasses import replace

import pytest
import torch
from peft import LNTuningConfig, get_peft_model

import vlpeft
from tests.restated_operations import NORMS, OPERATIONS, Change, assert_restated, loss_of
from tests.tiny import randomise
from vlpeft.sites import SiteError, norm_sites
from vlpeft.testing import SUBJECTS

DTYPES = [torch.float64, torch.float32]
TUNING = dict(type='NormTuning', targets={})


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', OPERATIONS)
def test_it_is_the_model_with_other_norms(name, dtype):
    has_bias = name != 'llama'

    def changes(leaves):
        assert len(leaves) == len(NORMS[name]) * (1 + has_bias)
        return {
            key: Change(scale=1 + leaves[f'{key}.scale'], shift=leaves[f'{key}.shift'] if has_bias else None)
            for key in NORMS[name]
        }

    assert_restated(name, TUNING, changes, dtype)


@pytest.mark.parametrize('name', OPERATIONS)
def test_gradients_are_those_of_gain_and_bias_by_the_chain_rule(name):
    subject = SUBJECTS[name]
    adapter = vlpeft.attach(subject.model(), TUNING)
    in_place = vlpeft.attach(subject.model(), None, trainable='norms')
    for handle in (adapter, in_place):
        loss_of(subject.run(handle)).backward()
    for key in NORMS[name]:
        norm = in_place.model.get_submodule(OPERATIONS[name][key].path)
        layer = adapter.sets['default'].layers[key]
        by_scale = norm.weight * norm.weight.grad
        if name != 'llama':
            by_scale = by_scale + norm.bias * norm.bias.grad
            torch.testing.assert_close(layer.shift.grad, norm.bias.grad, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(layer.scale.grad, by_scale, rtol=1e-8, atol=1e-10)


#: Norms as peft's users name them.
THEIRS = dict(
    bart=['self_attn_layer_norm', 'encoder_attn_layer_norm', 'final_layer_norm', 'layernorm_embedding'],
    gpt2=['ln_1', 'ln_2', 'ln_f'],
    vit=['ln1', 'ln2'],
)


@pytest.mark.parametrize('name', THEIRS)
def test_it_is_that_of_peft(name):
    """Which holds the tuned gains and biases as they are: s = g' / g - 1, t = b' - b g' / g."""
    subject = SUBJECTS[name]
    theirs = get_peft_model(subject.model(torch.float32), LNTuningConfig(target_modules=THEIRS[name]))
    tuned = [key for key, param in theirs.named_parameters() if param.requires_grad]
    assert len(tuned) == 2 * len(NORMS[name])
    randomise(theirs, seed=4, std=0.2)
    base = subject.model(torch.float32)
    with torch.no_grad():
        for key, param in theirs.get_base_model().named_parameters():
            plain = key.replace('.base_layer', '')
            if 'ln_tuning_layers' not in key:
                param.copy_(base.get_parameter(plain))
    adapter = vlpeft.attach(base, TUNING)
    with torch.no_grad():
        for key in NORMS[name]:
            path = OPERATIONS[name][key].path
            norm, other = base.get_submodule(path), theirs.get_base_model().get_submodule(path)
            other = other.ln_tuning_layers['default']
            layer = adapter.sets['default'].layers[key]
            layer.scale.copy_(other.weight / norm.weight - 1)
            layer.shift.copy_(other.bias - norm.bias * other.weight / norm.weight)
    expected = subject.run(theirs)
    assert not torch.allclose(expected, subject.run(subject.model(torch.float32)), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(subject.run(adapter), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', SUBJECTS)
def test_counts_are_those_of_the_norms(name):
    adapter = vlpeft.attach(SUBJECTS[name].model(), TUNING)
    in_place = vlpeft.attach(SUBJECTS[name].model(), None, trainable='norms')
    assert adapter.counts()['trainable_by_role'] == in_place.counts()['trainable_by_role']


def test_targets_choose_norms_by_tower_branch_and_block():
    def keys(name, **targets):
        adapter = vlpeft.attach(SUBJECTS[name].model(), dict(type='NormTuning', targets=targets))
        return list(adapter.sets['default'].layers)

    assert keys('bart', towers=['decoder'], kinds=['cross_attn']) == [
        'decoder_0_cross_attn_norm',
        'decoder_1_cross_attn_norm',
    ]
    assert keys('llama', depths=[-1]) == ['lm_1_self_attn_norm', 'lm_1_ffn_norm']
    # The norm before the attention over time is of no branch that the family publishes.
    assert keys('timesformer', depths=[0]) == ['vision_0_norm', 'vision_0_self_attn_norm', 'vision_0_ffn_norm']
    assert 'vision_0_norm' not in keys('timesformer', kinds=['self_attn', 'ffn'])
    # That in EVA-02's feed-forward network is of it, beside the one before it.
    assert keys('eva02', kinds=['ffn'], depths=[1]) == ['vision_1_ffn_norm', 'vision_1_ffn_norm1']
    for targets in (dict(linears=['q']), dict(towers=['text'])):
        with pytest.raises(SiteError, match='acts on norms, but its targets name linears|unknown towers'):
            keys('bart', **targets)


@pytest.mark.parametrize('name', SUBJECTS)
def test_norms_have_names_without_paths(name):
    for tower in vlpeft.find_towers(SUBJECTS[name].model()).values():
        sites = norm_sites(tower, 'test')
        assert len({site.key for site in sites}) == len(sites) == len(tower.norms)
        for site in sites:
            assert '.' not in site.key and (site.depth is None) == (f'{tower.block_path}.' not in site.path)


def test_opt_flattens_its_tokens_and_samples_have_sets_all_the_same():
    """Its second norm sees (B · L, D); whose token is whose is known there too."""
    subject = SUBJECTS['opt']
    (tower,) = vlpeft.find_towers(subject.model()).values()
    flattened = [site.output.shape_of is not None for site in norm_sites(tower, 'test') if site.kind == 'ffn']
    assert flattened == [True, True]
    adapter = vlpeft.attach(subject.model(), dict(type='NormTuning', targets=dict(kinds=['ffn'])))
    randomise(adapter.sets, std=0.2, seed=1)
    changed = subject.run(adapter)
    with adapter.use(None):
        bare = subject.run(adapter)
    with adapter.per_sample(['default', None, 'default']):
        mixed = subject.run(adapter)
    torch.testing.assert_close(mixed, torch.stack([changed[0], bare[1], changed[2]]), rtol=1e-9, atol=1e-10)


def test_a_norm_without_gain_is_refused():
    model = SUBJECTS['vit'].model()
    model.ln1 = torch.nn.LayerNorm(16, elementwise_affine=False)
    (tower,) = vlpeft.find_towers(model).values()
    with pytest.raises(SiteError, match='test: the norm ln1 of tower "vision" has no gain'):
        norm_sites(replace(tower, norms=(*tower.norms, 'ln1')), 'test')
