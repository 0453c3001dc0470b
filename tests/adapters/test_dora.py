"""DoRA: its start, its gain, and other methods at the same map."""

import torch

import vlpeft
from tests.tiny import build_retriever
from vlpeft.models import count_parameters
from vlpeft.testing import SUBJECTS
from vlpeft.testing.subjects import randomise


def test_it_starts_at_the_base_with_the_lengths_of_its_rows():
    for name in ('gpt2', 'bart', 'llama'):
        subject = SUBJECTS[name]
        model = subject.model()
        bare = subject.run(model.requires_grad_(False))
        adapter = vlpeft.attach(model, dict(type='DoRA', rank=2, targets={}))
        torch.testing.assert_close(subject.run(adapter), bare, rtol=1e-12, atol=1e-12)
    weight = model.model.layers[1].self_attn.k_proj.weight
    unit = adapter.sets['default'].layers['lm_1_self_attn_k']
    for length, row in zip(unit.magnitude.tolist(), weight.tolist()):
        assert abs(length - sum(x * x for x in row) ** 0.5) < 1e-12


def test_of_a_model_in_half_precision_it_computes_in_single():
    subject = SUBJECTS['bart']
    model = subject.model(torch.bfloat16)
    adapter = vlpeft.attach(model, dict(type='DoRA', rank=2, targets=dict(linears=['q'])))
    unit = next(iter(adapter.sets['default'].layers.values()))
    rows = model.model.encoder.layers[0].self_attn.q_proj.weight.float()
    torch.testing.assert_close(unit.magnitude.detach(), rows.norm(dim=1))
    assert unit.gain().dtype == torch.float32 and subject.run(adapter).dtype == torch.bfloat16


def test_it_scales_what_methods_before_it_have_added():
    """g ⊙ (W x + L x) + g ⊙ s B A x + b, with g of the frozen W; merged it is the same."""
    subject = SUBJECTS['gpt2']
    model = subject.model()
    config = dict(rank=2, targets=dict(linears=['v'], depths=[1]))
    adapter = vlpeft.attach(model, [dict(config, type='LoRA'), dict(config, type='DoRA')])
    randomise(adapter.sets, seed=1)
    lora, dora = (next(iter(part.layers.values())) for part in adapter.sets['default'].parts)
    expected = subject.run(adapter)
    module = model.transformer.h[1].attn.c_attn
    weight, bias = module.weight.detach().T[32:48].clone(), module.bias.detach()[32:48].clone()
    first = lora.up.weight @ lora.down.weight
    second = dora.up.weight @ dora.down.weight
    gain = dora.magnitude / (weight + second).norm(dim=1)
    with torch.no_grad(), adapter.use(None):
        before = module.weight.clone()
        module.weight[:, 32:48] = (gain[:, None] * (weight + first + second)).T
        assert torch.equal(module.bias[32:48], bias)
        torch.testing.assert_close(subject.run(model), expected, rtol=1e-9, atol=1e-10)
        module.weight.copy_(before)
    adapter.merge()
    torch.testing.assert_close(subject.run(model), expected, rtol=1e-9, atol=1e-10)


def test_the_norm_is_a_constant_of_the_backward_pass():
    """With the row's length in the graph the gradient of A would be another one, orthogonal to the row."""
    subject = SUBJECTS['llama']
    adapter = vlpeft.attach(subject.model(), dict(type='DoRA', rank=2, targets=dict(linears=['q'], depths=[0])))
    randomise(adapter.sets, seed=1)
    unit = next(iter(adapter.sets['default'].layers.values()))
    gain = unit.gain()
    assert gain.requires_grad
    (grad,) = torch.autograd.grad(gain.sum(), unit.magnitude, retain_graph=True)
    rows = unit.frozen_weight + unit.up.weight @ unit.down.weight
    torch.testing.assert_close(grad, 1 / rows.norm(dim=1))
    assert torch.autograd.grad(gain.sum(), unit.up.weight, allow_unused=True) == (None,)


def test_parameters():
    """LoRA's and one for each output."""
    targets = dict(towers=['text'], linears=['fc1'])
    lora, dora = (build_retriever(adapter=dict(type=kind, rank=3, targets=targets)) for kind in ('LoRA', 'DoRA'))
    difference = count_parameters(dora)['by_role']['adapter'] - count_parameters(lora)['by_role']['adapter']
    assert difference == 2 * 32
