"""What every method keeps on BART and T5: keys, copies, sets, checkpointing and compilation."""

import copy

import pytest
import torch

from tests.tiny_seq2seq import BACKBONES, build_adapted, build_lm, random_texts
from vlpeft.sites import Attachment

ENCODER = dict(towers=['encoder'], kinds=['self_attn', 'ffn'])
METHODS = dict(
    vlpet_large=dict(type='VLPET', bottleneck=4, value_bottleneck=3),
    vlpet_small=dict(type='VLPET', granularity='small', mean='masked', bottleneck=4, value_bottleneck=3),
    bottleneck=dict(type='Bottleneck', bottleneck=4, form='parallel', targets=dict()),
    gated=[
        dict(type='Bottleneck', bottleneck=4, targets=ENCODER),
        dict(type='Gate', granularity='middle_x', targets=ENCODER),
    ],
    lora=dict(type='LoRA', rank=2, targets=dict()),
)


@pytest.fixture(params=[(backbone, method) for backbone in BACKBONES for method in METHODS], ids='-'.join)
def case(request):
    backbone, method = request.param
    return backbone, METHODS[method]


def run(model):
    with torch.no_grad():
        return model(*random_texts())


def bare(model):
    with model.switch.use(None):
        return run(model)


def test_keys_stay_and_detaching_restores_every_bit(case):
    model, lm = build_adapted(*case), build_lm(case[0])
    assert {key for key in model.state_dict() if key.startswith('lm.')} == {f'lm.{key}' for key in lm.state_dict()}
    ids, mask, target = random_texts()
    with torch.no_grad():
        expected = lm(input_ids=ids, attention_mask=mask, decoder_input_ids=target).logits
    assert model.attachments[0].never_hit()
    assert not torch.allclose(run(model), expected, atol=1e-2)
    assert model.attachments[0].never_hit() == [] and torch.equal(bare(model), expected)
    model.attachments[0].detach()
    assert torch.equal(run(model), expected)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_copy_hooks_its_own_adapter(case):
    model = build_adapted(*case)
    before, twin = run(model), copy.deepcopy(model)
    with torch.no_grad():
        for param in twin.adapter.parameters():
            param.add_(0.3)
    assert torch.equal(run(model), before) and not torch.allclose(run(twin), before)
    assert torch.equal(bare(twin), bare(model))


def with_second_set(model):
    model.second = copy.deepcopy(model.adapter)
    with torch.no_grad():
        for param in model.second.parameters():
            param.mul_(1.5)
    model.attachments.append(Attachment(model.second.bindings(model.towers), model.towers, model.switch, 'second'))
    return model


def gradients(model, name):
    with model.switch.use(name):
        loss = model(*random_texts()).square().sum()
    loss.backward()
    return {key: param.grad for key, param in model.named_parameters() if param.grad is not None}


def test_checkpointing_gives_the_gradients_of_the_set_that_ran(case):
    for name, part in (('default', 'adapter.'), ('second', 'second.')):
        plain, saving = (
            gradients(with_second_set(build_adapted(*case, checkpointing=flag)), name) for flag in (False, True)
        )
        assert set(plain) == set(saving) and all(key.startswith(part) for key in plain)
        assert len(plain) == len(list(build_adapted(*case).adapter.parameters()))
        for key, grad in plain.items():
            torch.testing.assert_close(saving[key], grad, rtol=1e-10, atol=1e-12)
            assert grad.any()


@pytest.mark.parametrize(
    'backbone, method, towers',
    [('bart', 'vlpet_small', ['encoder']), ('bart', 'bottleneck', ['decoder']), ('t5', 'vlpet_large', ['encoder'])],
)
@torch._dynamo.config.patch(recompile_limit=64)
def test_compiled_blocks_see_switch_detach_and_attach(backbone, method, towers):
    model = build_adapted(backbone, METHODS[method], torch.float32)
    close = dict(rtol=1e-4, atol=1e-4)
    adapted, base = run(model), bare(model)
    for name in towers:
        for block in model.towers[name].block_modules:
            block.compile(backend='aot_eager')
    torch.testing.assert_close(run(model), adapted, **close)
    torch.testing.assert_close(bare(model), base, **close)
    model.attachments[0].detach()
    torch.testing.assert_close(run(model), base, **close)
    Attachment(model.adapter.bindings(model.towers), model.towers, model.switch)
    torch.testing.assert_close(run(model), adapted, **close)
    assert not torch.allclose(adapted, base, atol=1e-2)
