"""How a language model perceives, each way declared: through a connector, or not at all, with any method or none."""

import pytest
import torch

from tests.tiny_epalm import (
    LMS,
    VISION,
    WAYS,
    WINDOWED,
    build_perceptual,
    random_samples,
    random_texts,
    write_vocabulary,
)
from vlpeft.models import count_parameters
from vlpeft.sites import SiteError

PATCHES = 4


@pytest.fixture(scope='module')
def vocabulary(tmp_path_factory):
    return write_vocabulary(tmp_path_factory.mktemp('opt') / 'vocabulary')


def clips(batch=3):
    return torch.randn(batch, 1, 3, 16, 16, generator=torch.Generator().manual_seed(5)).double()


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('lm', ['opt', 'gpt2', 'llama', 'qwen2', 'qwen3', 'gemma2', 'gemma3', 'mistral'])
def test_gradients_reach_all_that_trains(vocabulary, lm, way):
    if way == 'prefix' and lm in WINDOWED:
        with pytest.raises(SiteError, match='would lose sight of a prefix'):
            build_perceptual(lm=lm, **WAYS[way])
        return
    model = build_perceptual(vocabulary=vocabulary, lm=lm, **WAYS[way])
    model.train()
    model(clips(), random_samples(), mode='loss')['loss_vqa'].backward()
    reached = {name for name, param in model.named_parameters() if param.grad is not None and param.grad.any()}
    assert reached == set(model.declared)
    parts = {name.partition('.')[0] for name in reached}
    options = WAYS[way]
    assert parts == {name for name in ('connector', 'adapter') if options.get(name)}


@pytest.mark.parametrize('way', WAYS)
def test_pictures_tell_only_where_they_are_led_in(vocabulary, way):
    model = build_perceptual(vocabulary=vocabulary, **WAYS[way])
    one, other = (model(pictures, random_samples(), mode='tensor') for pictures in (clips(), clips().flip(0)))
    assert torch.equal(one, other) == (way == 'texts')
    answers = [sample.pred_answer for sample in model(clips(), random_samples(), mode='predict')]
    assert len(answers) == 3 and all(isinstance(answer, str) for answer in answers)


def test_what_the_connector_is_given():
    patches = build_perceptual(**WAYS['patches'])
    seen = patches.encoder(clips()[:, 0])[-1]
    assert torch.equal(patches.perceive(clips()), seen[:, 1:]) and seen.shape == (3, 1 + PATCHES, VISION)
    assert torch.equal(patches.perceive(seen), seen) and not seen.requires_grad
    with pytest.raises(ValueError, match=r'vectors are \(3, 5, 11\); the model takes \(B, patches, 12\)'):
        patches.perceive(seen[..., 1:])
    levels = build_perceptual(**WAYS['levels'])
    assert levels.perceive(clips()).shape == (3, 3, VISION)
    with pytest.raises(ValueError, match=r'vectors are \(3, 5, 12\); the model takes \(B, 3, 12\)'):
        levels.perceive(seen)
    assert build_perceptual(**WAYS['texts']).perceive(clips()) is None


def test_a_set_that_is_switched_off_leaves_the_connector():
    model, plain = build_perceptual(**WAYS['lora']), build_perceptual(**WAYS['patches'])
    plain.load_state_dict(
        {name: value for name, value in model.state_dict().items() if not name.startswith('adapter.')}
    )
    tokens, vectors = random_texts(), plain.perceive(clips())
    with model.switch.use(None):
        assert torch.equal(model.logits(vectors, tokens), plain.logits(vectors, tokens))
    assert not torch.allclose(model.logits(vectors, tokens), plain.logits(vectors, tokens), atol=1e-2)


def test_counts():
    linear = count_parameters(build_perceptual(**WAYS['patches']))
    assert linear['trainable_by_role'] == dict(connector=VISION * 16 + 16)
    mlp = count_parameters(build_perceptual(**WAYS['levels']))
    assert mlp['trainable_by_role'] == dict(connector=VISION * 10 + 10 + 10 * 16 + 16)
    texts = count_parameters(build_perceptual(**WAYS['texts']))
    assert texts['trainable_by_role'] == dict(adapter=LMS['opt']['num_hidden_layers'] * 2 * 2 * (16 + 16))
    assert set(texts['by_tower']) == {'lm'}


def test_a_prompt_of_epalm_beside_a_connector():
    model = build_perceptual(connector=dict(), adapter=dict(levels=0, start=None, end=None))
    assert {name.partition('.')[0] for name in model.declared} == {'connector', 'adapter'}
    vectors, tokens = model.perceive(clips()), random_texts()
    before = model.logits(vectors, tokens)
    with torch.no_grad():
        model.adapter.prompt.table.mul_(-3)
    assert not torch.allclose(model.logits(vectors, tokens), before, atol=1e-2)


@pytest.mark.parametrize('way', ['lora', 'patches'])
@pytest.mark.parametrize('lm', ['opt', 'llama', 'qwen2', 'qwen3', 'gemma3', 'mistral'])
def test_eager_attention_computes_the_same(vocabulary, lm, way):
    eager = build_perceptual(vocabulary=vocabulary, lm=lm, attn_implementation='eager', **WAYS[way])
    usual = build_perceptual(vocabulary=vocabulary, lm=lm, **WAYS[way])
    assert [model.lm.config._attn_implementation for model in (eager, usual)] == ['eager', 'sdpa']
    usual.load_state_dict(eager.state_dict())
    found = []
    for model in (eager, usual):
        loss = model(clips(), random_samples(), mode='loss')['loss_vqa']
        loss.backward()
        found.append([loss.detach(), *(param.grad for param in model.parameters() if param.grad is not None)])
    for one, other in zip(*found, strict=True):  # the softmax of eager attention is in single precision
        assert (one - other).norm() <= 2e-3 * other.norm()


def test_attention_that_a_model_cannot_take_is_refused():
    for lm, asked, why in (
        ('opt', 'flash', "attn_implementation='flash'; choose from sdpa, eager, or None"),
        ('gemma2', 'sdpa', "attn_implementation='sdpa' cannot cap scores, which gemma2 does"),
        ('gpt2', 'eager', "attn_implementation='eager': GPT-2's has a causal mask of its own; leave it None"),
    ):
        with pytest.raises(ValueError, match=why):
            build_perceptual(lm=lm, attn_implementation=asked, **WAYS['lora'])
