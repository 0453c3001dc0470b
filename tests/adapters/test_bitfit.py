"""BitFit is the model with other biases, and trains as the biases themselves would."""

import pytest
import torch
from torch import nn

import vlpeft
from tests.restated_operations import MAPS, NORMS, OPERATIONS, Change, assert_restated, loss_of
from tests.tiny import randomise
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS

DTYPES = [torch.float64, torch.float32]
BIASED = ['bart', 'gpt2', 'vit']


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', BIASED)
@pytest.mark.parametrize('norms', [None, False])
def test_it_is_the_model_with_other_biases(name, norms, dtype):
    def changes(leaves):
        keys = [*MAPS[name], *(NORMS[name] if norms is None else ())]
        assert sorted(leaves) == sorted(f'{key}.offset' for key in keys)
        return {key: Change(shift=leaves[f'{key}.offset']) for key in keys}

    assert_restated(name, dict(type='BitFit', targets={}, norms=norms), changes, dtype)


@pytest.mark.parametrize('name', BIASED)
def test_steps_are_those_of_the_biases_themselves(name):
    """The gradient of b + o by o is that by b, so that any optimizer without decay takes the same steps."""
    subject = SUBJECTS[name]
    adapter = vlpeft.attach(subject.model(), dict(type='BitFit', targets={}))
    towers = list(adapter.towers)
    in_blocks = dict(parts='biases', towers=towers, **(dict(but=['patch_embed']) if name == 'vit' else {}))
    in_place = vlpeft.attach(subject.model(), None, trainable=[in_blocks])
    optimizers = [torch.optim.SGD(handle.parameters(), lr=0.3, momentum=0.9) for handle in (adapter, in_place)]
    before = {key: value.clone() for key, value in adapter.model.state_dict().items()}
    for _ in range(3):
        for handle, optimizer in zip((adapter, in_place), optimizers):
            loss = loss_of(subject.run(handle))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    layers = adapter.sets['default'].layers
    checked = 0
    for key, part in OPERATIONS[name].items():
        bias = f'{part.path}.bias'
        expected = in_place.model.get_parameter(bias)[part.rows] - before[bias][part.rows]
        torch.testing.assert_close(layers[key].offset, expected, rtol=1e-8, atol=1e-10)
        checked += int(expected.abs().max() > 1e-3)
    assert checked > len(layers) // 2
    torch.testing.assert_close(subject.run(adapter), subject.run(in_place), rtol=1e-8, atol=1e-10)
    assert all(torch.equal(adapter.model.state_dict()[key], value) for key, value in before.items())


def test_counts_are_the_biases():
    """Of BART those that are released as BitFit, as parameters of the method's own."""
    adapter = vlpeft.attach(SUBJECTS['bart'].model(), dict(type='BitFit', targets={}))
    biases = sum(param.numel() for name, param in adapter.model.named_parameters() if 'bias' in name)
    assert adapter.counts()['trainable_by_role'] == dict(bias=biases)


def test_targets_choose_maps_and_norms():
    def keys(name='bart', **options):
        return list(vlpeft.attach(SUBJECTS[name].model(), dict(type='BitFit', **options)).sets['default'].layers)

    only = dict(towers=['encoder'], depths=[1])
    assert keys(targets=dict(only, linears=['q', 'fc1'])) == ['encoder_1_self_attn_q', 'encoder_1_ffn_fc1']
    assert keys(targets=dict(only, kinds=['ffn'])) == ['encoder_1_ffn_fc1', 'encoder_1_ffn_fc2', 'encoder_1_ffn_norm']
    with_norms = keys(targets=dict(only, kinds=['ffn'], linears=['fc1']), norms=True)
    assert with_norms == ['encoder_1_ffn_fc1', 'encoder_1_ffn_norm']
    assert keys('vit', targets=dict(kinds=['patch_embed'])) == ['vision_patch_embed']


@pytest.mark.parametrize('name', ['t5', 'llama'])
def test_where_there_are_no_biases(name):
    subject = SUBJECTS[name]
    with pytest.raises(SiteError, match='BitFit: nothing that the targets choose has a bias .*; add_missing=True'):
        vlpeft.attach(subject.model(), dict(type='BitFit', targets={}))
    adapter = vlpeft.attach(subject.model(), dict(type='BitFit', targets={}, add_missing=True))
    randomise(adapter.sets, std=0.2, seed=1)
    with pytest.raises(SiteError, match='has no bias, so what is added to its output cannot be merged'):
        adapter.merge()


def test_a_patch_embedding_cannot_be_merged():
    adapter = vlpeft.attach(SUBJECTS['vit'].model(), dict(type='BitFit', targets=dict(kinds=['patch_embed', 'ffn'])))
    with pytest.raises(SiteError, match=r'BitFit cannot be merged where it acts on a patch embedding \(patch_embed'):
        adapter.merge()


def test_a_tower_that_is_named_has_biases():
    """One without is not left out in silence because another has some."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.seeing, self.speaking = SUBJECTS['vit'].build(), SUBJECTS['llama'].build()

    towers = ['vision', 'lm']
    with pytest.raises(SiteError, match=r'has a bias \(towers without: lm\)'):
        vlpeft.attach(Both(), dict(type='BitFit', targets=dict(towers=towers)))
    adapter = vlpeft.attach(Both(), dict(type='BitFit', targets={}))
    assert {key.split('_')[0] for key in adapter.sets['default'].layers} == {'vision'}
    everywhere = vlpeft.attach(Both(), dict(type='BitFit', targets=dict(towers=towers), add_missing=True))
    assert {key.split('_')[0] for key in everywhere.sets['default'].layers} == set(towers)


@pytest.mark.parametrize('options', [dict(linears=['q']), dict(depths=[0])])
def test_a_patch_embedding_alone_has_no_maps_and_blocks(options):
    config = dict(type='BitFit', targets=dict(kinds=['patch_embed'], **options))
    with pytest.raises(SiteError, match='BitFit: the targets choose the patch embedding alone, which is taken whole'):
        vlpeft.attach(SUBJECTS['vit'].model(), config)


def test_quantised_maps_have_biases_too():
    """Those of torch's dynamic int8 are handed out by a call; nothing can be merged into such a map."""
    subject = SUBJECTS['bart']
    quantised = torch.ao.quantization.quantize_dynamic(subject.model(torch.float32), {nn.Linear}, torch.qint8)
    adapter = vlpeft.attach(quantised, dict(type='BitFit', targets=dict(linears=['fc1', 'fc2'])))
    randomise(adapter.sets, std=0.2, seed=1)
    assert len(adapter.sets['default'].layers) == 2 * 2 * 2
    batch = subject.inputs(3)
    changed = subject.output(quantised(**batch))
    with adapter.use(None):
        assert not torch.allclose(subject.output(quantised(**batch)), changed)
    with pytest.raises(SiteError, match='is a quantised map'):
        adapter.merge()
