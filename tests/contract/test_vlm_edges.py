"""Methods on image-text-to-text models in the batches and modes that people run: more images, none, padding at either
side, short formats, both attentions, and transformers' own gradient checkpointing with several sets.
"""

import pytest
import torch

import vlpeft
from tests import tiny_vlms
from tests.contract.vlm_cells import ANSWERS, QUESTIONS, REFUSED, method
from tests.tiny_vlms import FAMILIES
from vlpeft.testing.subjects import randomise

LIVING = [name for name in FAMILIES if ('lora', name) not in REFUSED]
DECODERS = [name for name in LIVING if not FAMILIES[name].encoder_decoder]


def adapted(name, model=None):
    """LoRA in all blocks and what trains beside it, as different from its start as training makes them."""
    adapter = vlpeft.attach(model or tiny_vlms.build(name), method('lora', name), check_after=0)
    randomise(adapter.sets, seed=1, std=0.1)
    return adapter


def batch(name, counts=(1, 1), **options):
    images = [
        [tiny_vlms.picture(10 * row + i, (16 + 8 * i, 16)) for i in range(count)] for row, count in enumerate(counts)
    ]
    return tiny_vlms.batch(name, QUESTIONS[:2], ANSWERS[:2], images, **options)


def on_texts(name, model, inputs):
    """Logits of each text, without padding; and the loss."""
    out = model(**inputs)
    seen = inputs['labels'] != -100 if FAMILIES[name].encoder_decoder else inputs['attention_mask'] > 0
    return [row[own] for row, own in zip(out.logits, seen)], out.loss


def close(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5 * max(1.0, theirs.abs().max().item()))


def gradients(adapter):
    return {name: param.grad for name, param in adapter.named_parameters() if param.grad is not None}


@pytest.mark.parametrize('name', [name for name in LIVING if FAMILIES[name].images[1] > 1])
def test_one_and_two_images(name):
    """Together they are what they are alone."""
    adapter = adapted(name)
    with torch.no_grad():
        together, _ = on_texts(name, adapter, batch(name, (1, 2)))
        alone = []
        for row, count in enumerate((1, 2)):
            images = [[tiny_vlms.picture(10 * row + i, (16 + 8 * i, 16)) for i in range(count)]]
            inputs = tiny_vlms.batch(name, QUESTIONS[row : row + 1], ANSWERS[row : row + 1], images)
            alone += on_texts(name, adapter, inputs)[0]
    close(together, alone)


@pytest.mark.parametrize('name', [name for name in LIVING if FAMILIES[name].images[0] == 0])
def test_texts_alone(name):
    """What acts in the vision tower is not reached, and has no gradient; the rest trains."""
    adapter = adapted(name)
    adapter(**batch(name, (0, 0))).loss.backward()
    found = gradients(adapter)
    assert found and not [key for key in found if '.vision_' in key]
    assert all(grad.isfinite().all() and grad.any() for grad in found.values())
    adapter.zero_grad()
    adapter(**batch(name)).loss.backward()
    assert set(found) <= set(gradients(adapter)) == {key for key, _ in adapter.named_parameters()}


@pytest.mark.parametrize('name', DECODERS)
def test_padding_at_either_side(name):
    adapter = adapted(name)
    with torch.no_grad():
        right, left = (on_texts(name, adapter, batch(name, side=side))[0] for side in ('right', 'left'))
    close(left, right)


@pytest.mark.parametrize('name', LIVING)
def test_a_short_base_with_long_adapters(name):
    """The adapters stay in single precision, logits are of the format that they had, and each tensor trains."""
    model = tiny_vlms.build(name).to(torch.bfloat16)
    adapter = adapted(name, model)
    assert {param.dtype for param in adapter.parameters()} == {torch.float32}
    inputs = {key: part.bfloat16() if part.is_floating_point() else part for key, part in batch(name).items()}
    out = adapter(**inputs)
    with torch.no_grad(), adapter.use(None):
        # Gemma 3 returns them in single precision.
        bare = adapter(**inputs)
    assert out.logits.dtype == bare.logits.dtype and out.logits.isfinite().all()
    assert not torch.equal(out.logits, bare.logits)
    out.loss.backward()
    assert all(param.grad is not None and param.grad.isfinite().all() for param in adapter.parameters())


#: Gemma 2 caps its attention scores, which the fused attention cannot; the Q-Former of BLIP-2 has one attention only.
ONE_ATTENTION = ('paligemma2', 'blip2_opt', 'blip2_t5')


@pytest.mark.parametrize('name', [name for name in LIVING if name not in ONE_ATTENTION])
def test_both_attentions(name):
    found = []
    for kind in ('eager', 'sdpa'):
        adapter = adapted(name, tiny_vlms.build(name, attn_implementation=kind))
        logits, loss = on_texts(name, adapter, batch(name))
        loss.backward()
        found.append((logits, gradients(adapter)))
    (eager, expected), (sdpa, grads) = found
    close(sdpa, eager)
    close(grads.values(), expected.values())


@pytest.mark.parametrize('name', LIVING)
def test_checkpointing_of_transformers_remembers_the_set(name):
    """Recomputed after another set was chosen, gradients are those of the set that acted."""
    plain, saving = adapted(name), adapted(name)
    for adapter in (plain, saving):
        adapter.add('second', method('lora', name))
        randomise(adapter.sets['second'], seed=2, std=0.1)
        adapter.train()
    saving.gradient_checkpointing_enable()
    inputs = batch(name)
    for adapter in (plain, saving):
        with adapter.use('second'):
            loss = adapter(**inputs, use_cache=False).loss
        loss.backward()
    once, again = (sum(edit.hits for edit in adapter.hooks.attachments['second'].edits) for adapter in (plain, saving))
    assert again > 1.2 * once, 'nothing is recomputed'
    found, expected = gradients(saving), gradients(plain)
    assert found.keys() == expected.keys() and all(key.startswith('sets.second.') for key in found)
    for key, grad in expected.items():
        torch.testing.assert_close(found[key], grad, rtol=1e-5, atol=1e-6, msg=lambda text, key=key: f'{key}: {text}')
