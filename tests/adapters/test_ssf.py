"""SSF is the model with scaled weights and scaled and shifted biases."""

import pytest
import torch

import vlpeft
from tests.restated_operations import MAPS, NORMS, Change, assert_restated
from tests.tiny import randomise
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS

DTYPES = [torch.float64, torch.float32]


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', ['bart', 'gpt2', 'vit'])
def test_it_is_the_model_with_other_weights_and_biases(name, dtype):
    def changes(leaves):
        keys = [*MAPS[name], *NORMS[name]]
        assert len(leaves) == 2 * len(keys)
        return {key: Change(scale=leaves[f'{key}.scale'], shift=leaves[f'{key}.shift']) for key in keys}

    assert_restated(name, dict(type='SSF', targets={}), changes, dtype)


def test_the_patch_embedding_is_that_of_a_changed_convolution():
    """γ ⊙ (K * x + b) + β = (γ K) * x + (γ ⊙ b + β)."""
    subject = SUBJECTS['vit']
    adapter = vlpeft.attach(subject.model(), dict(type='SSF', targets=dict(kinds=['patch_embed'])))
    randomise(adapter.sets, std=0.2, seed=1)
    (layer,) = adapter.sets['default'].layers.values()
    plain = subject.model()
    bare = subject.run(plain)
    with torch.no_grad():
        convolution = plain.patch_embed.projection
        convolution.weight.mul_(layer.scale[:, None, None, None])
        convolution.bias.mul_(layer.scale).add_(layer.shift)
    expected = subject.run(plain)
    assert not torch.allclose(expected, bare, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(subject.run(adapter), expected, rtol=1e-8, atol=1e-10)


def test_its_start_is_near_the_base_as_released_or_at_it():
    torch.manual_seed(0)
    subject = SUBJECTS['bart']
    model = subject.model()
    bare = subject.run(model.requires_grad_(False))
    released = vlpeft.attach(model, dict(type='SSF', targets={}))
    scales, shifts = (
        torch.cat([param.detach() for key, param in released.sets.named_parameters() if key.endswith(part)])
        for part in ('scale', 'shift')
    )
    assert abs(scales.mean() - 1) < 0.003 and abs(scales.std() - 0.02) < 0.002
    assert abs(shifts.mean()) < 0.003 and abs(shifts.std() - 0.02) < 0.002
    assert not torch.equal(subject.run(model), bare)
    released.detach()
    vlpeft.attach(model, dict(type='SSF', targets={}, init='identity'))
    assert torch.equal(subject.run(model), bare)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"SSF: init='zero'; choose from \('normal', 'identity'\)"):
        vlpeft.attach(SUBJECTS['vit'].model(), dict(type='SSF', targets={}, init='zero'))
    adapter = vlpeft.attach(SUBJECTS['vit'].model(), dict(type='SSF', targets=dict(kinds=['patch_embed'])))
    with pytest.raises(SiteError, match='SSF cannot be merged where it acts on a patch embedding'):
        adapter.merge()
    # A scale alone could be merged into Llama's maps, a shift cannot.
    adapter = vlpeft.attach(SUBJECTS['llama'].model(), dict(type='SSF', targets={}))
    with pytest.raises(SiteError, match='has no bias, so what is added to its output cannot be merged'):
        adapter.merge()


@pytest.mark.parametrize('second', ['LoRA', 'SSF'])
def test_merged_after_or_before_lora(second):
    """Whoever comes first is scaled by SSF, or not."""
    lora, ssf = dict(type='LoRA', rank=2, targets={}), dict(type='SSF', targets={})
    subject = SUBJECTS['gpt2']
    adapter = vlpeft.attach(subject.model(), [ssf, lora] if second == 'LoRA' else [lora, ssf])
    randomise(adapter.sets, std=0.2, seed=1)
    expected = subject.run(adapter)
    adapter.merge()
    torch.testing.assert_close(subject.run(adapter), expected, rtol=1e-9, atol=1e-10)
