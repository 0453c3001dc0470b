"""LoRA+ by the optimiser's constructor, in a config."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import LinearLR, build_optim_wrapper
from mmengine.registry import DefaultScope

from tests.tiny import retriever_config
from vlpeft.registry import MODELS

LORA = dict(type='LoRA', rank=2, targets=dict(kinds=['self_attn'], linears=['q', 'v']))


def build(model, **paramwise):
    config = dict(
        type='OptimWrapper',
        constructor='TrainableOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
        paramwise_cfg=paramwise,
    )
    with DefaultScope.overwrite_default_scope('vlpeft'):
        return build_optim_wrapper(model, config), config


def rates(model, wrapper):
    """Learning rate and decay by the parameter's name."""
    names = {id(param): name for name, param in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    return {names[id(p)]: (group['lr'], group['weight_decay']) for group in groups for p in group['params']}


@pytest.mark.parametrize('others', [dict(), dict(norm_decay_mult=0.0, custom_keys=dict(itc_head=dict(lr_mult=0.5)))])
def test_second_factors_have_their_rate(others):
    model = MODELS.build(retriever_config(adapter=[dict(type='UniAdapter', bottleneck=4), LORA]))
    wrapper, config = build(model, lora_plus=16, **others)
    assert config['paramwise_cfg']['lora_plus'] == 16
    found = rates(model, wrapper)
    assert found.keys() == model.declared
    fast = {name for name, (lr, _) in found.items() if lr == 16e-3}
    assert fast == {name for name in found if name.startswith('adapter.parts.1.') and name.endswith('.up.weight')}
    assert len(fast) == 2 * 2 * 2
    heads = {lr for name, (lr, _) in found.items() if name.startswith('itc_head.')}
    assert heads == {0.5e-3 if others else 1e-3}
    norms = {decay for name, (_, decay) in found.items() if '.norm.' in name}
    assert norms == {0.0 if others else 0.05}
    # Schedules multiply each group's own rate.
    LinearLR(wrapper, start_factor=0.25, end=10)
    assert {lr for name, (lr, _) in rates(model, wrapper).items() if name in fast} == {4e-3}


def test_the_log_says_it():
    model = MODELS.build(retriever_config(adapter=LORA))
    logger, lines = MMLogger.get_instance('lora_plus'), []
    logger.handlers[0].emit = lambda record: lines.append(record.getMessage())
    build(model, lora_plus=4)
    assert any('8 with lr=0.004, weight_decay=0.05' in line for line in lines), lines


@pytest.mark.parametrize(
    'adapter, ratio, message',
    [
        (dict(type='UniAdapter', bottleneck=4), 16, 'but UniAdapter has none that trains'),
        (None, 16, 'but no method has none that trains'),
        (LORA, -2, 'LoRA\\+: the ratio of learning rates is -2'),
    ],
)
def test_refusals(adapter, ratio, message):
    model = MODELS.build(retriever_config(adapter=adapter))
    with pytest.raises(ValueError, match=message):
        build(model, lora_plus=ratio)


def test_the_option_is_known_before_a_run_begins():
    from vlpeft.engine.preflight.types import type_problems

    def problems(**paramwise):
        return [text for _, text in type_problems(dict(optim_wrapper=dict(paramwise_cfg=paramwise)))]

    assert problems(lora_plus=16) == []
    assert problems(lora_plus='much') and problems(lora_plu=16)


def test_a_run_of_several_processes_wraps_the_model():
    model = MODELS.build(retriever_config(adapter=LORA))
    wrapped = torch.nn.ModuleDict(dict(module=model))
    wrapper, _ = build(wrapped, lora_plus=16)
    assert sum(lr == 16e-3 for lr, _ in rates(wrapped, wrapper).values()) == 8
