"""Compacter against its closed form and a slow restatement, W = Σ A_i ⊗ B_i written out number by number."""

import math

import pytest
import torch
from torch.nn import functional as F

import vlpeft
from tests.slow_seq2seq import SlowVLPET, check_formulas, gelu_tanh, slow_logits
from tests.tiny_seq2seq import BACKBONES, AdaptedLM, build_adapted, build_lm, random_texts
from vlpeft.adapters.compacter import PHMLinear, PHMRule
from vlpeft.sites import SiteError

BASE = dict(type='Compacter', bottleneck=6, targets=dict())
EXACT = dict(rtol=1e-8, atol=1e-10)
OPTIONS = dict(own={}, shared=dict(share_rule=True), factored=dict(rank=2), paper=dict(share_rule=True, rank=1))


def written_out(rule, blocks):
    """W[i·p + k, j·q + c] = Σ_m A_m[i, j] B_m[k, c], for B_m of (p, q)."""
    n, p, q = blocks.shape
    rows = [
        torch.stack([sum(rule[m, i, j] * blocks[m, k, c] for m in range(n)) for j in range(n) for c in range(q)])
        for i in range(n)
        for k in range(p)
    ]
    return torch.stack(rows)


class SlowCompacter(SlowVLPET):
    """h + f(h) of one token at a time."""

    def weight(self, name):
        rule = self.state.get(f'{name}.rule.phm_rule', self.state.get('rule.phm_rule'))
        blocks = self.state.get(f'{name}.W')
        if blocks is None:
            pairs = zip(self.state[f'{name}.W_left'], self.state[f'{name}.W_right'])
            blocks = torch.stack([left @ right for left, right in pairs])
        return written_out(rule, blocks)

    def branch(self, place, x, h, real):
        down, up = f'layers.{place}.down', f'layers.{place}.up'
        weights = self.weight(down), self.weight(up)
        codes = [gelu_tanh(token @ weights[0] + self.state[f'{down}.b']) for token in h]
        return torch.stack([token + code @ weights[1] + self.state[f'{up}.b'] for token, code in zip(h, codes)])


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_the_whole_model_equals_the_formulas(backbone, options):
    options = dict(BASE, **options)
    model, batch = build_adapted(backbone, options), random_texts()
    expected = slow_logits(model, SlowCompacter(dict(model.adapter.named_parameters()), options), *batch)
    check_formulas(model, expected, batch, list(model.adapter.parameters()), **EXACT)


def test_in_single_precision_the_loss_is_the_formulas():
    model, batch = build_adapted('bart', BASE, dtype=torch.float32), random_texts()
    found = model(*batch)
    expected = slow_logits(model, SlowCompacter(dict(model.adapter.named_parameters()), BASE), *batch)
    losses = [F.cross_entropy(logits.transpose(1, 2), batch[2]) for logits in (found, expected)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_map_by_hand():
    """With one product of A = (2 0; 0 3) and B = (1 2), W = (2 4 0 0; 0 0 3 6)."""
    layer = PHMLinear(2, 4, 2, None, None)
    with torch.no_grad():
        layer.rule.phm_rule.zero_()
        layer.rule.phm_rule[0] = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
        layer.W[0], layer.W[1], layer.b[:] = torch.tensor([[1.0, 2.0]]), 99.0, 1.0
        expected = torch.tensor([[2.0, 4.0, 0.0, 0.0], [0.0, 0.0, 3.0, 6.0]])
        assert torch.equal(layer.weight, expected)
        assert torch.equal(layer(torch.eye(2)), expected + 1)


def test_the_start():
    """A from N(0, 0.01), B uniform up to √2 √(6 / (in/n + out/n)), b zero."""
    torch.manual_seed(0)
    bound = math.sqrt(2) * math.sqrt(6 / (384 + 48))
    layer = PHMLinear(768, 96, 2, None, None)
    assert 0.98 * bound < layer.W.abs().max() < bound and not layer.b.any()
    assert PHMRule(8).phm_rule.std().item() == pytest.approx(0.01, rel=0.15)
    factored = PHMLinear(768, 96, 2, 3, None)
    for part, fans in ((factored.W_left, 384 + 3), (factored.W_right, 3 + 48)):
        bound = math.sqrt(2) * math.sqrt(6 / fans)
        assert 0.9 * bound < part.abs().max() < bound


def test_a_shared_rule_is_one_tensor_that_copies_have_too():
    model = AdaptedLM(build_lm('bart'), dict(BASE, share_rule=True)).adapter
    rules = [name for name, _ in model.named_parameters() if 'phm_rule' in name]
    assert rules == ['rule.phm_rule'] and [key for key in model.state_dict() if 'phm_rule' in key] == rules


def test_the_number_of_parameters():
    """n³ + in · out / n + out for a map; with a shared rule of rank k n³ once, and k (in + out) + out for a map."""
    n, r, d, places = 2, 6, 16, 2 * 2 + 3 * 2
    own = AdaptedLM(build_lm('bart'), BASE).adapter
    assert sum(p.numel() for p in own.parameters()) == places * (2 * n**3 + 2 * d * r // n + r + d)
    paper = AdaptedLM(build_lm('bart'), dict(BASE, share_rule=True, rank=1)).adapter
    assert sum(p.numel() for p in paper.parameters()) == n**3 + places * (2 * (d + r) + r + d)


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(phm_dim=4), ValueError, 'Compacter: phm_dim=4 does not divide bottleneck=6'),
        (dict(phm_dim=3), SiteError, 'Compacter: phm_dim=3 does not divide the width 16'),
        (dict(phm_dim=0), ValueError, 'phm_dim=0; it is an integer of at least 1'),
        (dict(rank=0), ValueError, 'rank=0; it is an integer of at least 1'),
        (dict(targets=dict(kinds=['cross'])), SiteError, r"Compacter: unknown kinds \['cross'\]"),
    ],
)
def test_impossible_options_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        vlpeft.attach(build_lm('bart'), dict(BASE, **options))
