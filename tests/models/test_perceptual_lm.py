"""The task model: texts, losses, answers, inputs, and which parts are switched how."""

import pytest
import torch
from torch import nn

from tests.slow_epalm import Method, SlowOPT, text_loss
from tests.tiny_epalm import (
    EPALM,
    PAD,
    SPECIALS,
    VISION,
    VOCAB,
    build_perceptual,
    perceptual_config,
    random_samples,
    random_texts,
    random_vectors,
    write_vocabulary,
)
from vlpeft.models.backbones import cls_levels
from vlpeft.models.continuation import Continuation
from vlpeft.models.tokenizer import CausalTokenizer
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError

ANSWER = len(SPECIALS) + 256


@pytest.fixture(scope='module')
def vocabulary(tmp_path_factory):
    return write_vocabulary(tmp_path_factory.mktemp('opt') / 'vocabulary')


def clips(batch=3, dtype=torch.float64):
    return torch.randn(batch, 1, 3, 16, 16, generator=torch.Generator().manual_seed(5)).to(dtype)


def test_texts_and_targets(vocabulary):
    tokenizer = CausalTokenizer(vocabulary, None, VOCAB)
    (question,) = tokenizer.prompts(['who?</a>'])
    assert question[0] == 2 and question[-1] == ANSWER and len(question) == 6
    assert tokenizer.prompts(['']) == [[2]]
    (target,) = tokenizer.targets(['a</s>b'])
    assert target == tokenizer.tokenizer('ab')['input_ids'][-2:] + [2]
    # In one go, as released, the text has the same tokens.
    whole = tokenizer.tokenizer('who?</a>ab</s>', add_special_tokens=False)['input_ids']
    assert [2, *whole] == question + target
    assert tokenizer.text([*target, PAD]) == 'ab'
    left, right = (tokenizer.pad([question, [2]], torch.device('cpu'), left=side) for side in (True, False))
    assert left.ids.tolist() == [question, [PAD] * 5 + [2]] and right.ids.tolist() == [question, [2] + [PAD] * 5]
    assert left.mask.tolist() == [[1] * 6, [0] * 5 + [1]] and right.mask.tolist() == [[1] * 6, [1] + [0] * 5]


def test_logits_are_computed_of_counted_tokens_alone(vocabulary, monkeypatch):
    model = build_perceptual(vocabulary=vocabulary, tasks=dict(vqa=dict(loss_on='answer')))
    samples, rows = random_samples('vqa'), []
    logits = model.reader.logits
    monkeypatch.setattr(model.reader, 'logits', lambda hidden: rows.append(hidden.shape[:-1].numel()) or logits(hidden))
    model(clips(), samples, mode='loss')
    assert rows == [sum(len(model.tokenizer.targets([sample.target])[0]) for sample in samples)]


def test_a_connector_reads_the_patches_of_a_tower_of_transformers(vocabulary):
    encoder = dict(
        type='TransformersVision',
        config=dict(
            model_type='dinov2',
            hidden_size=VISION,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
        ),
    )
    model = build_perceptual(torch.float32, vocabulary=vocabulary, encoder=encoder, connector=dict(), adapter=None)
    images = clips(dtype=torch.float32)
    expected = model.encoder.vision_model(pixel_values=images[:, 0]).last_hidden_state[:, 1:]
    torch.testing.assert_close(model.perceive(images), expected)
    assert model(images, random_samples('vqa'), mode='loss')['loss_vqa'].requires_grad


def test_the_vocabulary_must_fit(vocabulary):
    assert len(CausalTokenizer(vocabulary, None, ANSWER + 1).tokenizer) == ANSWER + 1
    with pytest.raises(ValueError, match=rf'{ANSWER + 1} tokens with </a>, the text model {ANSWER} \(vocab_size\)'):
        CausalTokenizer(vocabulary, None, ANSWER).tokenizer


@pytest.mark.parametrize('loss_on', ['text', 'answer'])
@pytest.mark.parametrize('task', ['vqa', 'caption'])
def test_loss(vocabulary, task, loss_on):
    model = build_perceptual(vocabulary=vocabulary, visual_row='full', tasks={task: dict(loss_on=loss_on)})
    samples = random_samples(task)
    found = model(clips(), samples, mode='loss')
    slow = SlowOPT(
        dict(model.lm.named_parameters()),
        model.lm.config,
        Method(dict(model.adapter.named_parameters()), 3, EPALM['start'], EPALM['end'], True),
    )
    texts = [
        (model.tokenizer.prompts([sample.text])[0], model.tokenizer.targets([sample.target])[0]) for sample in samples
    ]
    longest = max(len(prompt) + len(target) for prompt, target in texts)
    total = 0.0
    for (prompt, target), vectors in zip(texts, cls_levels(model.encoder, clips()[:, 0], 3)):
        ids = torch.tensor(prompt + target + [PAD] * (longest - len(prompt) - len(target)))
        real = torch.arange(longest) < len(prompt) + len(target)
        logits = slow.logits(ids, real, vectors)
        total = total + text_loss(logits, ids, real)
        if loss_on == 'answer':
            head = torch.arange(longest) < len(prompt)
            total = total - text_loss(logits, ids, head)
    torch.testing.assert_close(found[f'loss_{task}'], 0.1 * total / 3, rtol=1e-9, atol=1e-9)


def test_only_declared_parameters_get_gradients(vocabulary):
    model = build_perceptual(vocabulary=vocabulary)
    model.train()
    model(clips(), random_samples(), mode='loss')['loss_vqa'].backward()
    with_gradient = {name for name, param in model.named_parameters() if param.grad is not None and param.grad.any()}
    assert with_gradient == set(model.declared) and all(name.startswith('adapter.') for name in with_gradient)
    everything = build_perceptual(vocabulary=vocabulary, trainable='all')
    assert {name.partition('.')[0] for name in everything.declared} == {'lm', 'adapter'}


def test_answers(vocabulary):
    model = build_perceptual(vocabulary=vocabulary)
    samples = model(clips(), random_samples(), mode='predict')
    captions = model(clips(), random_samples('caption'), mode='predict')
    for task, found in (
        ('vqa', [sample.pred_answer for sample in samples]),
        ('caption', [sample.pred_caption for sample in captions]),
    ):
        vectors, prompts = (
            model.perceive(clips()),
            model.prompts([s.text for s in random_samples(task)], torch.device('cpu')),
        )
        assert found == model.answer(vectors, prompts, model.tasks[task])
    assert all(
        isinstance(sample.pred_answer, str) and sample.pred_answer == sample.pred_answer.strip() for sample in samples
    )


class Alphabet(nn.Module):
    """After each token the next of the vocabulary: the answer shows what was decoded and how long."""

    def forward(self, ids):
        return torch.nn.functional.one_hot(ids + 1, VOCAB).double()


@pytest.mark.parametrize(
    'task, expected',
    [
        (dict(max_new_tokens=4), 4),
        (dict(max_new_tokens=9, count_prompt=True), 3),
        (dict(max_new_tokens=2, count_prompt=True), 1),
    ],
)
def test_length_of_answers(vocabulary, task, expected):
    model = build_perceptual(vocabulary=vocabulary, tasks=dict(vqa=dict(task, num_beams=1)))
    model.reader.words = lambda ids: ids
    model.reader.read = lambda words, mask, lead, cache=None: words
    model.reader.extend = lambda words, mask, lead, cache: words
    model.reader.logits = Alphabet()
    first = model.tokenizer.tokenizer('A', add_special_tokens=False)['input_ids'][0]
    prompts = model.prompts(['a?A', 'a?bcA'], torch.device('cpu'))
    assert prompts.ids[0, -1] == first and prompts.ids.shape == (2, 6)
    assert model.answer(None, prompts, model.tasks['vqa']) == ['BCDEFG'[:expected]] * 2


def test_inputs(vocabulary):
    model = build_perceptual(vocabulary=vocabulary)
    vectors = model.perceive(clips())
    assert vectors.shape == (3, 3, VISION) and not vectors.requires_grad
    assert torch.equal(vectors, cls_levels(model.encoder, clips()[:, 0], 3))
    losses = [model(inputs, random_samples(), mode='loss')['loss_vqa'] for inputs in (clips(), vectors)]
    assert torch.equal(*losses)
    with pytest.raises(ValueError, match=r'vectors are \(3, 2, 12\); the model takes \(B, 3, 12\)'):
        model.perceive(vectors[:, :2])
    logits = model(clips(), random_samples(), mode='tensor')
    assert logits.shape == (3, len('what is it?') + 2, VOCAB)
    uint8 = torch.randint(0, 255, (1, 3, 16, 16), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=torch.stack([uint8] * 3), data_samples=random_samples()))
    assert data['inputs'].shape == (3, 1, 3, 16, 16) and data['inputs'].dtype == torch.float64


def test_other_encoders(vocabulary):
    """Clips and spectrograms reach the encoders that take them."""
    clip = build_perceptual(
        vocabulary=vocabulary,
        encoder=dict(type='TimeSformer', num_frames=2, img_size=16, patch_size=8, width=VISION, depth=3, heads=2),
    )
    inputs = torch.randn(2, 2, 3, 16, 16).double()
    assert torch.equal(clip.perceive(inputs), cls_levels(clip.encoder, inputs, 3))
    sound = build_perceptual(
        vocabulary=vocabulary,
        data_preprocessor=dict(type='FeatureDataPreprocessor'),
        encoder=dict(
            type='AST',
            num_frames=32,
            num_bins=16,
            patch_size=8,
            stride=4,
            arch=dict(embed_dims=VISION, num_layers=3, num_heads=2, feedforward_channels=24),
        ),
    )
    fbank = torch.randn(2, 1, 32, 16).double()
    assert torch.equal(sound.perceive(fbank), cls_levels(sound.encoder, fbank[:, 0], 3))
    assert not torch.equal(sound.perceive(fbank), sound.perceive(fbank.flip(2)))


def test_forms_without_perception_or_prompt():
    tokens = random_texts()
    prompt_only = build_perceptual(adapter=dict(levels=0, start=None, end=None))
    assert prompt_only.perceive(clips()) is None
    slow = SlowOPT(
        dict(prompt_only.lm.named_parameters()),
        prompt_only.lm.config,
        Method(dict(prompt_only.adapter.named_parameters()), 0, 0, 0, False),
    )
    expected = torch.stack([slow.logits(ids, mask.bool(), None) for ids, mask in zip(*tokens)])
    torch.testing.assert_close(prompt_only.logits(None, tokens), expected, rtol=1e-10, atol=1e-10)
    both = build_perceptual()
    both.adapter.prompt.load_state_dict(prompt_only.adapter.prompt.state_dict())
    both.lm.load_state_dict(prompt_only.lm.state_dict())
    torch.testing.assert_close(both.logits(None, tokens), expected, rtol=1e-10, atol=1e-10)
    for name in ('llama', 'gpt2'):
        model = build_perceptual(lm=name, adapter=dict(levels=0, start=None, end=None))
        assert not torch.allclose(
            model.logits(None, tokens), build_perceptual(lm=name, adapter=dict(prompt_length=0)).logits(None, tokens)
        )


def modes(model):
    parts = ('lm', 'encoder', 'adapter')
    return {name: {module.training for module in getattr(model, name).modules()} for name in parts}


def test_frozen_parts_stay_in_eval_mode():
    model = build_perceptual()
    for _ in range(2):
        model.train()
        assert modes(model) == dict(lm={False}, encoder={False}, adapter={True})
        model.eval()
        assert modes(model) == dict(lm={False}, encoder={False}, adapter={False})
    assert MODELS.build(perceptual_config()).training
    assert modes(MODELS.build(perceptual_config())) == dict(lm={False}, encoder={False}, adapter={True})
    assert modes(build_perceptual(trainable='all').train()) == dict(lm={True}, encoder={False}, adapter={True})
    assert modes(build_perceptual(released_dropout=True).train()) == dict(lm={True}, encoder={True}, adapter={True})


def test_released_dropout_drops_embeddings_too():
    model = build_perceptual(released_dropout=True)
    tokens, vectors = random_texts(), random_vectors(model)
    inputs = []
    model.lm.model.decoder.layers[0].self_attn_layer_norm.register_forward_pre_hook(
        lambda module, args: inputs.append(args[0])
    )
    before = model.logits(vectors, tokens)
    model.train()
    torch.manual_seed(0)
    after = model.logits(vectors, tokens)
    kept = inputs[1] != 0
    assert not torch.equal(before, after) and 0.02 < 1 - float(kept[:, 1:].double().mean()) < 0.25
    torch.testing.assert_close(inputs[1][kept], inputs[0][kept] / 0.9)
    model.eval()
    assert torch.equal(model.logits(vectors, tokens), before)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision_language_model(dtype):
    exact = build_perceptual(torch.float32)
    model = MODELS.build(perceptual_config(lm_dtype=dtype))
    assert {param.dtype for param in model.lm.parameters()} == {getattr(torch, dtype)}
    assert {param.dtype for part in (model.adapter, model.encoder) for param in part.parameters()} == {torch.float32}
    model.load_state_dict(exact.state_dict())
    tokens, vectors = random_texts(left=True), random_vectors(exact)
    logits = model.logits(vectors, tokens).float()
    expected = exact.logits(vectors, tokens)
    assert (logits - expected).abs().mean() < 0.1 * expected.std()
    logits.sum().backward()
    assert all(param.grad.isfinite().all() and param.grad.any() for param in model.adapter.parameters())


def test_methods_compose(vocabulary):
    bottleneck = dict(
        type='Bottleneck',
        bottleneck=4,
        init='clamped',
        act_cfg=dict(type='ReLU'),
        targets=dict(towers=['lm'], kinds=['ffn']),
    )
    model = build_perceptual(vocabulary=vocabulary, adapter=[dict(EPALM), bottleneck], visual_row='full')
    alone = build_perceptual(visual_row='full')
    for part in ('lm', 'encoder'):
        getattr(alone, part).load_state_dict(getattr(model, part).state_dict())
    alone.adapter.load_state_dict(model.adapter.parts[0].state_dict())
    tokens, vectors = random_texts(), random_vectors(model)
    assert not torch.allclose(model.logits(vectors, tokens), alone.logits(vectors, tokens), atol=1e-2)
    for layer in model.adapter.parts[1].layers.values():
        nn.init.zeros_(layer.up.weight)
        nn.init.zeros_(layer.up.bias)
    assert torch.equal(model.logits(vectors, tokens), alone.logits(vectors, tokens))
    model(clips(), random_samples(), mode='loss')['loss_vqa'].backward()
    assert all(layer.up.weight.grad.any() for layer in model.adapter.parts[1].layers.values())


def test_state_dict_keys():
    keys = build_perceptual().state_dict().keys()
    assert {key.partition('.')[0] for key in keys} == {'lm', 'encoder', 'adapter'}
    assert {
        'lm.model.decoder.layers.0.fc1.weight',
        'encoder.ln1.weight',
        'adapter.connector.2.bias',
        'adapter.prompt.table',
        'adapter.prompt.mlp.0.weight',
        'adapter.prompt.mlp.2.bias',
    } <= set(keys)
    assert sum(key.startswith('lm.') for key in keys) == len(build_perceptual().lm.state_dict())


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(visual_row='all'), ValueError, r"visual_row='all'; choose from \('causal', 'full'\)"),
        (dict(padding='both'), ValueError, r"padding='both'; choose from \('left', 'right'\)"),
        (dict(tasks=dict(vqa=dict(loss_on='all'))), ValueError, r"loss_on='all'; choose from \('text', 'answer'\)"),
        (
            dict(tasks=dict(vqa=dict(output='x'))),
            ValueError,
            r"output='x'; choose from \('pred_answer', 'pred_caption'\)",
        ),
        (
            dict(tasks=dict(vqa=dict(beam_rule='x'))),
            ValueError,
            r"beam_rule='x'; choose from \('default', 'released'\)",
        ),
        (dict(tasks=dict(vqa=dict(num_beams=0))), ValueError, 'num_beams=0; it is an integer of at least 1'),
        (dict(tasks=dict(vqa=dict(max_new_tokens=0))), ValueError, 'max_new_tokens=0; it is an integer of at least 1'),
        (
            dict(adapter=[dict(type='LoRA', targets=dict(towers=['lm']))]),
            ValueError,
            'nothing leads what the encoder sees',
        ),
        (
            dict(adapter=None),
            ValueError,
            r"add dict\(type='EPALM', …\) to adapter, or connector=dict\(tokens='patches'\)",
        ),
        (dict(adapter=[dict(EPALM), dict(EPALM)]), ValueError, 'PerceptualLM has one slot; .* has 2 EPALM'),
        (dict(connector=dict()), ValueError, r'EPALM and connector would both lead .* or EPALM\(levels=0\)'),
        (dict(connector=dict(), encoder=None), ValueError, 'connector leads from an encoder .*; encoder is None'),
        (dict(encoder=None), SiteError, 'EPALM needs a tower "encoder"; there are: lm'),
        (
            dict(connector=dict(tokens='all')),
            ValueError,
            r"connector.tokens='all'; choose from \('patches', 'levels'\)",
        ),
        (dict(connector=dict(levels=2)), ValueError, r"tokens='patches', levels=2; levels, .* goes with 'levels'"),
        (dict(connector=dict(tokens='levels')), ValueError, r"tokens='levels', levels=None; levels, .* goes with"),
        (dict(connector=dict(tokens='levels', levels=0)), ValueError, r'levels=0; levels, an integer of at least 1'),
        (dict(connector=dict(hidden=0)), ValueError, 'connector.hidden=0; it is an integer of at least 1, or None'),
        (dict(connector=dict(pool=2)), TypeError, 'pool'),
        (dict(adapter=[dict(EPALM), dict(type='LoRA', targets=dict())]), SiteError, 'encoder runs without gradient'),
    ],
)
def test_errors(options, error, message):
    with pytest.raises(error, match=message):
        MODELS.build(perceptual_config(**options))


def test_unknown_tasks_and_modes(vocabulary):
    model = build_perceptual(vocabulary=vocabulary)
    with pytest.raises(ValueError, match='one of the tasks vqa, caption; this one holds caption, vqa'):
        model(clips(), random_samples()[:2] + random_samples('caption')[:1], mode='loss')
    with pytest.raises(ValueError, match="modes 'loss', 'predict', 'candidates' and 'tensor', not 'train'"):
        model(clips(), random_samples(), mode='train')


@pytest.mark.parametrize('name', ['opt', 'gpt2'])
def test_texts_longer_than_the_learned_positions_are_refused(name):
    """64 positions, of which the perceptual rows take none; a rotary model has no last one."""
    model = build_perceptual(lm=name)
    fits, longer = random_texts((64, 3)), random_texts((65, 3))
    vectors = random_vectors(model, 2)
    assert model.logits(vectors, fits).shape == (2, 64, VOCAB)
    with pytest.raises(ValueError, match='a text of 65 tokens, .* is longer than the 64 positions'):
        model.logits(vectors, longer)
    step = Continuation(model.reader, fits, model.lead(vectors), 1)
    assert step(fits.ids[:, -1:], None).shape == (2, VOCAB)
    with pytest.raises(ValueError, match='a text of 65 tokens'):
        step(torch.full((2, 2), 5), torch.arange(2))
    rotary = build_perceptual(lm='llama')
    assert rotary.logits(random_vectors(rotary, 2), longer).shape == (2, 65, VOCAB)
