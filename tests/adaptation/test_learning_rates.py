"""LoRA+ for any optimiser: which tensors learn faster, and the steps of PEFT's."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer

import vlpeft
from tests.adaptation.test_peft_folder import build, gradients
from vlpeft.testing import SUBJECTS


def attach(config, **options):
    return vlpeft.attach(SUBJECTS['bart'].model(), config, check_after=0, **options)


LORA = dict(type='LoRA', rank=2, targets=dict(linears=['q', 'v']))
BOTTLENECK = dict(type='Bottleneck', bottleneck=3, targets=dict(kinds=['ffn']))


@pytest.mark.parametrize(
    'config',
    [LORA, dict(LORA, type='DoRA'), dict(LORA, init='pissa', bias='adapted'), [BOTTLENECK, LORA]],
    ids=['lora', 'dora', 'pissa', 'composed'],
)
def test_second_factors_alone_learn_faster(config):
    adapter = attach(config, trainable=['model.encoder.layernorm_embedding'])
    slow, fast = vlpeft.lora_plus(adapter, lr=2e-3, ratio=8)
    assert (slow['lr'], fast['lr']) == (2e-3, 1.6e-2)
    names = {id(param): name for name, param in adapter.named_parameters()}
    found = [names[id(param)] for param in fast['params']]
    # Up-projections of bottlenecks are none.
    assert len(found) == 6 * 2 and all(name.endswith('.up.weight') and '_attn_' in name for name in found)
    both = {id(param) for group in (slow, fast) for param in group['params']}
    assert both == {id(param) for param in adapter.parameters() if param.requires_grad}
    assert len(both) == len(slow['params']) + len(fast['params'])


def test_steps_are_those_of_peft():
    model = build('bart')
    config = LoraConfig(r=3, lora_alpha=5, target_modules=['q_proj', 'fc1'])
    theirs = get_peft_model(copy.deepcopy(model), config)
    ours = vlpeft.attach(model, dict(type='LoRA', rank=3, alpha=5, targets=dict(linears=['q', 'fc1'])))
    base, pairs = theirs.get_base_model(), []
    for binding in ours.sets['default'].bindings(ours.towers):
        module = base.get_submodule(f'{ours.paths[binding.tower]}.{binding.write.path}')
        pairs += [(module.lora_A['default'], binding.unit.down), (module.lora_B['default'], binding.unit.up)]
    with torch.no_grad():
        for their, our in pairs:
            our.weight.copy_(their.weight)
    first = create_loraplus_optimizer(theirs, torch.optim.SGD, lr=0.3, loraplus_lr_ratio=6)
    second = torch.optim.SGD(vlpeft.lora_plus(ours, lr=0.3, ratio=6))
    for _ in range(3):
        for adapted, optimizer in ((theirs, first), (ours, second)):
            gradients(adapted.eval())
            optimizer.step()
    for their, our in pairs:
        torch.testing.assert_close(our.weight, their.weight, rtol=1e-5, atol=1e-6)
    plain = [param for name, param in ours.named_parameters() if name.endswith('up.weight')]
    assert all(param.abs().max() > 0 for param in plain)


@pytest.mark.parametrize('ratio', [0, -1, float('nan'), float('inf'), '16', True])
def test_ratios_that_are_none(ratio):
    with pytest.raises(ValueError, match='LoRA\\+: the ratio of learning rates is .*; it is a number above 0'):
        vlpeft.lora_plus(attach(LORA), lr=1e-3, ratio=ratio)


def test_methods_without_second_factors():
    with pytest.raises(ValueError, match='but Bottleneck has none that trains'):
        vlpeft.lora_plus(attach(BOTTLENECK), lr=1e-3)
