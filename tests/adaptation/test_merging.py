"""Merged weights compute what the method computes, and unmerging restores them bit for bit."""

import pytest
import torch

import vlpeft
from tests.plain_models import PLAIN
from tests.tiny import randomise
from vlpeft.adaptation.merging import Merged
from vlpeft.adapters import Adapter, WeightChange
from vlpeft.sites import SiteError, Targets

LORA = dict(type='LoRA', rank=2, alpha=3, targets={})


def test_what_is_merged_by_hand():
    """GPT-2 keeps the three projections in one transposed weight: W ← W + (α / r) (B A)ᵀ in the columns of v."""
    model = PLAIN['gpt2'].model()
    before = model.transformer.h[1].attn.c_attn.weight.detach().clone()
    adapter = vlpeft.attach(model, dict(LORA, targets=dict(depths=[1], linears=['v'])))
    randomise(adapter.sets, seed=1)
    unit = next(iter(adapter.sets['default'].layers.values()))
    adapter.merge()
    expected = before.clone()
    expected[:, 32:48] += 1.5 * (unit.up.weight @ unit.down.weight).T
    torch.testing.assert_close(model.transformer.h[1].attn.c_attn.weight.detach(), expected, rtol=1e-12, atol=1e-12)


def test_two_methods_on_one_map_merge_together():
    model = PLAIN['opt'].model()
    adapter = vlpeft.attach(model, [LORA, dict(LORA, rank=3, targets=dict(linears=['q']))])
    randomise(adapter.sets, seed=1)
    expected = PLAIN['opt'].run(model)
    adapter.merge()
    torch.testing.assert_close(PLAIN['opt'].run(model), expected, rtol=1e-9, atol=1e-10)


def test_what_is_not_linear_is_refused_and_nothing_changes():
    model = PLAIN['bart'].model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    adapter = vlpeft.attach(model, [LORA, dict(type='Bottleneck', bottleneck=3, targets={})])
    with pytest.raises(SiteError, match='Bottleneck cannot be merged: what it does is no linear map'):
        adapter.merge()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_while_merged_nothing_else_can_be_done(tmp_path):
    model = PLAIN['opt'].model()
    adapter = vlpeft.attach(model, LORA)
    adapter.merge()
    for call in (
        lambda: adapter.merge('default'),
        lambda: adapter.use(None),
        lambda: adapter.add('b', LORA),
        lambda: adapter.save(tmp_path / 'a'),
        lambda: adapter.per_sample(['default']),
    ):
        with pytest.raises(SiteError, match=r"while set 'default' is merged; call unmerge\(\) first"):
            call()
    adapter.detach()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Affine(Adapter):
    """y ← s ⊙ y + t at the chosen maps."""

    def __init__(self, towers, **targets):
        super().__init__(towers)
        self.targets = Targets(**targets)
        for i, (*_, site) in enumerate(self.targets.linears(towers, 'Affine')):
            unit = torch.nn.Module()
            unit.s = torch.nn.Parameter(torch.empty(site.out_features))
            unit.t = torch.nn.Parameter(torch.empty(site.out_features))
            self.add_module(str(i), unit)

    def weight_changes(self, towers):
        for unit, (tower, _, _, _, site) in zip(self.children(), self.targets.linears(towers, 'Affine')):
            yield WeightChange.of(tower.name, site, scale=unit.s, bias=unit.t)


@pytest.mark.parametrize('name, module', [('gpt2', 'c_attn'), ('vit', 'qkv'), ('bart', 'v_proj'), ('llama', 'v_proj')])
def test_factors_and_offsets_of_outputs(name, module):
    """In the order in which they act: s ⊙ (W x + b + ΔW x) + t. A map that has no bias cannot take t up."""
    plain, model = PLAIN[name], PLAIN[name].model()
    towers = vlpeft.find_towers(model)
    adapter = vlpeft.attach(model, dict(LORA, targets=dict(kinds=['self_attn'], linears=['v'])))
    randomise(adapter.sets, seed=1)
    affine = randomise(Affine(towers, kinds=['self_attn'], linears=['v']).double(), seed=2)
    units, places = list(affine.children()), list(affine.targets.linears(towers, 'Affine'))
    after = [tower.module.get_submodule(site.path) for tower, _, _, _, site in places]

    def act(unit, site):
        rows = slice(None) if site.span is None else slice(*site.span)

        def hook(module, args, output):
            output = output.clone()
            output[..., rows] = unit.s * output[..., rows] + unit.t
            return output

        return hook

    hooks = [found.register_forward_hook(act(unit, place[-1])) for found, unit, place in zip(after, units, places)]
    expected = plain.run(model)
    for hook in hooks:
        hook.remove()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    adapter.merge()
    if name == 'llama':
        with pytest.raises(SiteError, match='v_proj has no bias, so what is added to its output cannot be merged'):
            Merged(affine, towers)
        return
    merged = Merged(affine, towers)
    torch.testing.assert_close(plain.run(model), expected, rtol=1e-9, atol=1e-10)
    merged.undo()
    adapter.unmerge()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
