"""What is declared to train and does not is named when the optimizer first steps."""

import warnings

import pytest
import torch

import vlpeft
from tests.plain_models import PLAIN
from tests.tiny import randomise
from vlpeft.adaptation import UntrainedError

LORA = dict(type='LoRA', rank=2, targets=dict(linears=['q', 'v']))


def start(name='llama', config=LORA, **options):
    model = PLAIN[name].model()
    return model, vlpeft.attach(model, config, **options)


def steps(model, optimizer, count=3, loss=lambda out: out.square().mean()):
    for _ in range(count):
        optimizer.zero_grad()
        loss(PLAIN['llama'].run(model)).backward()
        optimizer.step()


def test_a_method_that_learns_is_not_named():
    """LoRA starts with a factor of zero, so that the other has no gradient in the first step."""
    model, adapter = start(strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        steps(model, torch.optim.AdamW(adapter.parameters(), lr=1e-2))
    assert adapter._training_check.steps == 2, 'nothing is looked at once all have moved'


def steps_with_closures(model, optimizer, count=3, loss=lambda out: out.square().mean()):
    """Gradients come within the step, as in Lightning."""

    def closure():
        optimizer.zero_grad()
        value = loss(PLAIN['llama'].run(model))
        value.backward()
        return value

    for number in range(count):
        optimizer.step(closure) if number % 2 else optimizer.step(closure=closure)


def test_gradients_that_come_within_the_step_are_looked_at_after_it():
    model, adapter = start(strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        steps_with_closures(model, torch.optim.AdamW(adapter.parameters(), lr=1e-2))
    assert adapter._training_check.steps == 2, 'nothing is looked at once all have moved'
    for scale, fault in ((0, 'zero in every step'), (float('nan'), 'not finite')):
        model, adapter = start(strict=True)
        randomise(adapter.sets, seed=1)
        optimizer = torch.optim.SGD(adapter.parameters(), lr=1e-2)
        with pytest.raises(UntrainedError, match=f'8 with a gradient .*{fault}'):
            steps_with_closures(model, optimizer, 1, loss=lambda out: scale * out.sum())
    model, _ = start()
    with pytest.warns(UserWarning, match='holds none of the 8 tensors'):
        steps_with_closures(model, torch.optim.SGD(model.parameters(), lr=1e-2), 1)


def test_an_optimizer_of_the_frozen_model_is_named():
    model, _ = start()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    with pytest.warns(
        UserWarning, match=r'holds none of the 8 tensors that the adapter trains; .* adapter\.parameters'
    ):
        steps(model, optimizer, 1)


def test_a_tensor_without_gradient_is_named():
    model, adapter = start(strict=True)
    adapter.sets['default'].layers['lm_1_self_attn_q'].down.weight.requires_grad_(False)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=1e-2)
    adapter.sets['default'].layers['lm_1_self_attn_q'].down.weight.requires_grad_(True)
    PLAIN['llama'].run(model).square().mean().backward()
    adapter.sets['default'].layers['lm_1_self_attn_q'].down.weight.grad = None
    with pytest.raises(UntrainedError, match=r'of 8 trained tensors, .* 1 with no gradient, such as sets\.default\.'):
        optimizer.step()


def test_a_gradient_that_is_always_zero_is_named():
    model, adapter = start(strict=True)
    randomise(adapter.sets, seed=1)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=1e-2)
    with pytest.raises(UntrainedError, match='8 with a gradient of zero in every step'):
        steps(model, optimizer, 1, loss=lambda out: 0 * out.sum())


def test_a_gradient_that_is_not_finite_is_named():
    model, adapter = start(strict=True)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=1e-2)
    with pytest.raises(UntrainedError, match='with a gradient that is not finite'):
        steps(model, optimizer, 1, loss=lambda out: out.sum() * float('nan'))


def test_sets_that_did_not_act_and_other_models_are_left_alone():
    model, adapter = start(strict=True)
    adapter.add('other', LORA)
    stranger = torch.nn.Linear(2, 2)
    steps(model, torch.optim.AdamW(adapter.parameters(), lr=1e-2))
    stranger(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(stranger.parameters(), lr=0.1).step()


def test_never_looks_where_it_is_told_not_to():
    model, adapter = start(check_after=0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        steps(model, torch.optim.SGD(model.parameters(), lr=1e-2), 1)


def test_an_adapter_that_only_answers_is_left_alone_while_another_model_trains():
    model, _ = start(strict=True)
    PLAIN['llama'].run(model)
    stranger = torch.nn.Linear(2, 2)
    stranger(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(stranger.parameters(), lr=0.1).step()
