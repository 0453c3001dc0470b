"""The question answerer against the slow restatement: loss, gradients, ranking scores, padding, generation."""

import itertools
import math

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch.nn import functional as F

from tests.slow_blip import SlowBlip
from tests.slow_decoding import slow_mean, slow_search
from tests.tiny import VOCAB_SIZE, WIDTH, build_vqa, random_questions, vqa_config, write_vocabulary
from vlpeft.models import count_parameters
from vlpeft.registry import MODELS

FRAME_HEAD = dict(type='ITCHead', vision_width=WIDTH, text_width=WIDTH, embed_width=8)
CASES = [
    dict(adapter=None),
    dict(adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3)),
    dict(adapter=dict(type='UniAdapter', bottleneck=4), temporal_frames=2),
    dict(adapter=dict(type='UniAdapter', bottleneck=4, kv_bottleneck=3), temporal_frames=2, frame_head=FRAME_HEAD),
]


@pytest.fixture
def vocabulary(tmp_path):
    return write_vocabulary(tmp_path / 'vocabulary')


def slow_logits(model, clip, question, answer):
    """Next-token logits (L, V) and the ids they predict (L - 1)."""
    ids = torch.tensor(model.tokenizer.ids([answer])[0])
    logits = SlowBlip(model).answer_logits(
        clip,
        torch.tensor(model.tokenizer.ids([question])[0]),
        ids,
        model.tokenizer.encode_id,
        model.tokenizer.decode_id,
        model.itc_head is not None,
    )
    return logits[:-1], ids[1:]


def slow_loss(model, clips, samples):
    total = 0
    for clip, sample in zip(clips, samples):
        for answer, weight in zip(sample.answers, sample.weights):
            logits, targets = slow_logits(model, clip, sample.question, answer)
            for row, target in zip(logits, targets):
                log_probs = torch.log_softmax(row, 0)
                smooth = torch.full_like(row, 0.1 / len(row))
                smooth[target] += 0.9
                total = total - weight * (smooth * log_probs).sum()
    return total / len(samples)


@pytest.mark.parametrize('dtype, rtol', [(torch.float64, 1e-8), (torch.float32, 1e-4)])
@pytest.mark.parametrize('case', CASES)
def test_loss_and_gradients_equal_the_slow_restatement(vocabulary, case, dtype, rtol):
    model = build_vqa(dtype, vocabulary=vocabulary, trainable='heads' if case['adapter'] else 'all', **case)
    clips, samples = random_questions(dtype=dtype)
    trained = {name: param for name, param in model.named_parameters() if param.requires_grad}
    found = model(clips, samples, mode='loss')['loss_vqa']
    expected = slow_loss(model, clips, samples)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol)
    grads, slow_grads = (
        torch.autograd.grad(loss, list(trained.values()), allow_unused=True) for loss in (found, expected)
    )
    reached = 0
    for name, grad, slow in zip(trained, grads, slow_grads):
        # Constants added to all keys cancel in the softmax: these gradients are rounding noise.
        if grad is None or '.key.' in name and name.endswith('bias') or name.endswith('key.bias'):
            continue
        torch.testing.assert_close(grad, slow, rtol=rtol, atol=rtol * float(slow.abs().max()), msg=name)
        reached += bool(grad.abs().max() > 0)
    assert reached > 10


def naive_scores(model, clips, samples, answers, smoothing=0.0):
    """Full log-likelihood of every answer of the list for every question, one pair at a time, and p(first token)."""
    scores, first = [], []
    for clip, sample in zip(clips, samples):
        row, starts = [], []
        for answer in answers:
            logits, targets = slow_logits(model, clip, sample.question, answer)
            log_probs = logits.log_softmax(-1)
            picked = log_probs[range(len(targets)), targets]
            row.append((picked * (1 - smoothing) + log_probs.mean(-1) * smoothing).sum())
            starts.append(log_probs[0, targets[0]])
        scores.append(torch.stack(row))
        first.append(torch.stack(starts))
    return torch.stack(scores), torch.stack(first)


WORDS = ('red', 'green', 'blue', 'circle')
ANSWERS = [*WORDS, *(' '.join(pair) for pair in itertools.permutations(WORDS, 2)), 'red green blue circle']


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('shortlist', [5, 100])
def test_ranking_equals_the_naive_computation(vocabulary, shortlist, smoothing):
    model = build_vqa(vocabulary=vocabulary, **CASES[1])
    clips, samples = random_questions(batch=4)
    model.set_answer_list(ANSWERS)
    model.shortlist, model.score_smoothing, model.pairs_per_batch = shortlist, smoothing, 7
    with torch.no_grad():
        predicted = [sample.pred_answer for sample in model(clips, samples, mode='predict')]
        scores, first = naive_scores(model, clips, samples, ANSWERS, smoothing)
    for row, starts, answer in zip(scores, first, predicted):
        # Answers of one first token are equally likely there, up to rounding; the order of the list breaks the tie.
        likely = sorted(range(len(ANSWERS)), key=lambda i: (-round(float(starts[i]), 9), i))[:shortlist]
        assert answer == ANSWERS[max(likely, key=lambda i: float(row[i]))]
    # The question matters: scores, if not the winner, differ between questions.
    assert (scores.std(0) > 1e-3).all()


@pytest.mark.parametrize('shortlist', [5, 100])
def test_candidates_of_a_ranking_are_the_shortlist_with_its_likelihoods(vocabulary, shortlist):
    model = build_vqa(vocabulary=vocabulary, shortlist=shortlist, pairs_per_batch=6, **CASES[3])
    clips, samples = random_questions(batch=2)
    model.set_answer_list(ANSWERS)
    with torch.no_grad():
        found = model.candidates(model(clips, samples))
        scores, first = naive_scores(model, clips, samples, ANSWERS)
    for row, starts, kept in zip(scores, first, found):
        likely = sorted(range(len(ANSWERS)), key=lambda i: (-round(float(starts[i]), 9), i))[:shortlist]
        expected = {ANSWERS[i]: float(row[i]) for i in likely}
        assert {one.text: one.score for one in kept} == pytest.approx(expected, rel=1e-5)
        total = sum(math.exp(score) for score in expected.values())
        assert {one.text: one.probability for one in kept} == pytest.approx(
            {text: math.exp(score) / total for text, score in expected.items()}, rel=1e-4
        )
        assert kept == sorted(kept, key=lambda candidate: -candidate.score)


class Counted(torch.nn.Module):
    """Beside a decoder: how many tokens it has been given."""

    def __init__(self, decoder):
        super().__init__()
        self.tokens = 0
        decoder.register_forward_pre_hook(self.count)

    def count(self, module, args):
        self.tokens += args[0].numel()


@pytest.mark.parametrize('sharpness, first', [(1.0, 2), (30.0, 2), (30.0, 100)])
def test_the_best_answer_alone_is_that_of_the_whole_ranking(vocabulary, monkeypatch, sharpness, first):
    """Also where logits are sharp and most answers fall behind; each beginning is decoded once."""
    from vlpeft.models.tasks import answer_ranking

    monkeypatch.setattr(answer_ranking, 'FIRST', first)
    model = build_vqa(vocabulary=vocabulary, **CASES[1])
    model.decoder.cls['predictions'].transform.LayerNorm.weight.data.mul_(sharpness)
    clips, samples = random_questions(batch=4)
    model.set_answer_list(ANSWERS)
    with torch.no_grad():
        questions = model(clips, samples)
        counted = Counted(model.decoder)
        ranked = model.candidates(questions)
        # [DEC], four first words, twelve second ones, and "blue" and "circle" after "red green".
        assert counted.tokens == 4 * (1 + 4 + 12 + 2)
        counted.tokens = 0
        assert model.answer(questions) == [found[0].text for found in ranked]
        scores, _ = naive_scores(model, clips, samples, ANSWERS)
    assert [found[0].text for found in ranked] == [ANSWERS[i] for i in scores.argmax(1).tolist()]
    if sharpness > 1 and first < len(ANSWERS):
        assert counted.tokens < 4 * 12


def test_padding_of_questions_and_company_do_not_change_answers(vocabulary):
    model = build_vqa(vocabulary=vocabulary, **CASES[1])
    clips, samples = random_questions(batch=4)
    model.set_answer_list(ANSWERS)
    for model.inference in ('rank', 'generate'):
        together = [sample.pred_answer for sample in model(clips, samples, mode='predict')]
        alone = [model(clips[i : i + 1], samples[i : i + 1], mode='predict')[0].pred_answer for i in range(4)]
        assert together == alone


def test_generation_may_see_the_padding_as_released(vocabulary):
    clips, samples = random_questions(batch=4)
    differ = 0
    for seed in range(6):
        model = build_vqa(seed=seed, vocabulary=vocabulary, inference='generate', max_answer_length=6, **CASES[1])
        masked = [sample.pred_answer for sample in model(clips, samples, mode='predict')]
        model.generate_with_padding = True
        released = [sample.pred_answer for sample in model(clips, samples, mode='predict')]
        # The longest question has no padding to see.
        longest = max(range(4), key=lambda i: len(samples[i].question.split()))
        assert released[longest] == masked[longest]
        differ += released != masked
    assert differ > 0


def test_greedy_generation_equals_the_slow_restatement(vocabulary):
    model = build_vqa(vocabulary=vocabulary, inference='generate', beams=1, max_answer_length=5, **CASES[1])
    clips, samples = random_questions(batch=2)
    slow, tokenizer = SlowBlip(model), model.tokenizer
    for clip, sample, found in zip(clips, samples, model(clips, samples, mode='predict')):
        question, ids = torch.tensor(tokenizer.ids([sample.question])[0]), [tokenizer.decode_id]
        while len(ids) < 5 and ids[-1] != tokenizer.end_id:
            logits = slow.answer_logits(
                clip, question, torch.tensor(ids), tokenizer.encode_id, tokenizer.decode_id, False
            )
            ids.append(int(logits[-1].argmax()))
        assert found.pred_answer == tokenizer.text(ids[1:])


@pytest.mark.parametrize('beams', [1, 2, 3])
def test_beam_rules_equal_their_slow_restatements(vocabulary, beams):
    """The decoder starts from one token, which the released rule counts for unfinished answers."""
    clips, samples = random_questions(batch=4)
    found, sizes = {}, set()
    for rule in ('default', 'released'):
        model = build_vqa(
            vocabulary=vocabulary, inference='generate', beams=beams, beam_rule=rule, max_answer_length=5, **CASES[1]
        )
        slow, tokenizer = SlowBlip(model), model.tokenizer
        with torch.no_grad():
            found[rule] = model.candidates(model(clips, samples))
            for clip, sample, kept in zip(clips, samples, found[rule]):
                question = torch.tensor(tokenizer.ids([sample.question])[0])

                def log_probs(new, clip=clip, question=question):
                    ids = torch.tensor([tokenizer.decode_id, *new])
                    logits = slow.answer_logits(clip, question, ids, tokenizer.encode_id, tokenizer.decode_id, False)
                    return logits[-1].log_softmax(-1).tolist()

                expected = slow_search(log_probs, beams, tokenizer.end_id, 4, rule, 1)
                assert [one.text for one in kept] == [tokenizer.text(ids) for ids, _ in expected]
                assert [one.score for one in kept] == pytest.approx([score for _, score in expected], rel=1e-6)
                means = [slow_mean(log_probs, ids, tokenizer.end_id, 4) for ids, _ in expected]
                assert [one.probability for one in kept] == pytest.approx([math.exp(mean) for mean in means], rel=1e-6)
                sizes |= {len(ids) for ids, _ in expected}
    assert found['default'] != found['released'], sizes


def test_what_trains():
    model = build_vqa(**CASES[3])
    trained = {name.split('.')[0] for name in model.declared}
    assert trained == {'adapter', 'temporal_embedding'}
    untied = dict(vqa_config()['decoder'], tie_word_embeddings=False)
    model = build_vqa(train_lm_head=True, decoder=untied)
    assert {name.rpartition('.predictions')[0] for name in model.declared} == {'decoder.cls'}
    assert {model.role_of(name) for name in model.declared} == {'head'}


def test_word_embeddings_and_vocabulary_projection_are_one_tensor(vocabulary):
    embeddings, projection = 'decoder.bert.embeddings.word_embeddings.weight', 'decoder.cls.predictions.decoder.weight'
    options = dict(vocabulary=vocabulary, adapter=None, trainable='all')
    tied = build_vqa(**options)
    untied = build_vqa(decoder=dict(vqa_config()['decoder'], tie_word_embeddings=False), **options)
    counts = [count_parameters(model) for model in (tied, untied)]
    assert (
        counts[1]['total'] - counts[0]['total']
        == counts[1]['trainable'] - counts[0]['trainable']
        == (VOCAB_SIZE * WIDTH)
    )
    untied.load_state_dict(tied.state_dict())
    clips, samples = random_questions()
    losses = [model(clips, samples, mode='loss')['loss_vqa'] for model in (tied, untied)]
    torch.testing.assert_close(*losses, rtol=0, atol=0)
    sum(losses).backward()
    parts = [untied.get_parameter(name).grad for name in (embeddings, projection)]
    assert all(part.abs().max() > 0 for part in parts)
    torch.testing.assert_close(tied.get_parameter(embeddings).grad, sum(parts))
    # An optimiser steps it once, and it stays one.
    with DefaultScope.overwrite_default_scope('vlpeft'):
        wrapper = build_optim_wrapper(
            tied,
            dict(
                optimizer=dict(type='SGD', lr=0.5, weight_decay=0.0),
                constructor='TrainableOptimWrapperConstructor',
                paramwise_cfg=dict(norm_decay_mult=0.0),
            ),
        )
    params = [id(param) for group in wrapper.optimizer.param_groups for param in group['params'] if param.requires_grad]
    assert len(params) == len(set(params)) == len(tied.declared) == len(untied.declared) - 1
    expected = tied.get_parameter(embeddings).detach() - 0.5 * sum(parts)
    wrapper.step()
    torch.testing.assert_close(tied.get_parameter(embeddings).detach(), expected)
    assert tied.get_parameter(projection) is tied.get_parameter(embeddings)


def test_errors(vocabulary):
    for settings, message in (
        (dict(inference='beam'), "inference='beam'; choose from"),
        (dict(beam_rule='old'), "beam_rule='old'; choose from .*'released'"),
        (dict(max_answer_length=1), 'max_answer_length=1; it is an integer of at least 2'),
        (dict(beams=0), 'beams=0; it is an integer of at least 1'),
    ):
        with pytest.raises(ValueError, match=message):
            MODELS.build(dict(type='GenerativeVQA', vision={}, text={}, decoder={}, **settings))
    with pytest.raises(ValueError, match='also train the word embeddings.*set decoder.tie_word_embeddings=False'):
        build_vqa(train_lm_head=True)
    model = build_vqa(vocabulary=vocabulary)
    clips, samples = random_questions(batch=1)
    with pytest.raises(ValueError, match='needs a closed answer list'):
        model(clips, samples, mode='predict')
    with pytest.raises(ValueError, match="not 'features'"):
        model(clips, samples, mode='features')


def test_label_smoothing_of_scores_is_torchs():
    from vlpeft.models.tasks.answer_ranking import token_scores

    logits, rows, targets = torch.randn(5, 9), torch.tensor([3, 0, 3, 1, 4, 2]), torch.randint(9, (6,))
    expected = -F.cross_entropy(logits[rows], targets, reduction='none', label_smoothing=0.1)
    torch.testing.assert_close(token_scores(logits, rows, targets, 0.1), expected)


def test_loss_can_be_divided_by_frames_as_released(vocabulary):
    clips, samples = random_questions(frames=2)
    ours, released = (
        build_vqa(vocabulary=vocabulary, adapter=None, trainable='all', loss_per_frame=released)(
            clips, samples, mode='loss'
        )['loss_vqa']
        for released in (False, True)
    )
    torch.testing.assert_close(ours, 2 * released, rtol=1e-12, atol=0)


def test_frame_projections_never_train(vocabulary):
    model = build_vqa(vocabulary=vocabulary, adapter=None, trainable='all', frame_head=FRAME_HEAD)
    assert model.declared == {name for name, _ in model.named_parameters() if not name.startswith('itc_head.')}
    clips, samples = random_questions()
    model(clips, samples, mode='loss')['loss_vqa'].backward()
    assert not [name for name, param in model.named_parameters() if name in model.declared and param.grad is None]
    # These are all the heads that there are, which is no error.
    lora = dict(type='LoRA', rank=2, targets={})
    alone = build_vqa(vocabulary=vocabulary, adapter=lora, trainable='heads', frame_head=FRAME_HEAD)
    assert {name.partition('.')[0] for name in alone.declared} == {'adapter'} and not alone.left_out
