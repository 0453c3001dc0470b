"""The sequence-to-sequence model against the slow restatement, and its ways to answer."""

import copy
import math

import pytest
import torch

from tests.slow_decoding import slow_mean, slow_search
from tests.slow_vl import SlowVL, check_gradients
from tests.tiny_seq2seq import KeepDouble
from tests.tiny_vl import EXTRA, LETTERS, LM, VOCAB, build_vl, random_samples, write_tokenizer
from vlpeft.models.backbones.visual_embedding import pool_grid
from vlpeft.models.tasks.seq2seq_task import Seq2SeqTask
from vlpeft.testing.backbones import WIDTH

FAMILIES = ('bart', 't5')
VARIANTS = {
    granularity: dict(granularity=granularity, bottleneck=4, heads=2, value_bottleneck=3, scale=0.7)
    for granularity in ('large', 'middle_x', 'middle_y', 'small')
}


@pytest.fixture(scope='module')
def vocabularies(tmp_path_factory):
    return {family: write_tokenizer(tmp_path_factory.mktemp(family), family) for family in FAMILIES}


@pytest.mark.parametrize('dtype, rtol', [(torch.float64, 1e-8), (torch.float32, 1e-4)])
@pytest.mark.parametrize('granularity', [None, *VARIANTS])
@pytest.mark.parametrize('family', FAMILIES)
def test_logits_loss_and_gradients_equal_the_slow_restatement(vocabularies, family, granularity, dtype, rtol):
    options = VARIANTS.get(granularity, {})
    adapter = dict(options, type='VLPET') if options else None
    model = build_vl(
        family,
        vocabularies[family],
        dtype,
        adapter=adapter,
        trainable=['heads', dict(parts='norms', towers=['encoder'])] if adapter else 'all',
    )
    slow = SlowVL.of(model, options)
    trained = {name: param for name, param in model.named_parameters() if param.requires_grad}
    for task, images in (('vqa', 1), ('caption', 2)):
        features, samples = random_samples(task, images=images, dtype=dtype)
        expected = slow.loss(features, samples, model.tasks[task].loss)
        with KeepDouble():
            found = model(features, samples, mode='loss')[f'loss_{task}']
            torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol)
            check_gradients(trained, found, expected, rtol)
            encoded = model(features, samples)
            for row, (logits, target) in enumerate(slow.logits(features, samples)):
                start = torch.tensor([[model.lm.config.decoder_start_token_id, *target[:-1]]])
                one = model.logits(type(encoded)(*(part[row : row + 1] for part in encoded)), start)[0]
                torch.testing.assert_close(one, logits, rtol=rtol, atol=rtol * float(logits.abs().max()))


@pytest.mark.parametrize('family', FAMILIES)
def test_cutting_texts_leaves_the_next_ones_whole(vocabularies, family):
    model = build_vl(family, vocabularies[family])
    text = 'a b c d e'
    whole = model.tokens([text], None, torch.device('cpu')).ids
    state = dict(vars(model.tokenizer))
    cut = model.tokens([text], 3, torch.device('cpu')).ids
    assert whole.shape[1] > 5 and cut.shape == (1, 3)
    assert vars(model.tokenizer) == state
    assert torch.equal(model.tokens([text], None, torch.device('cpu')).ids, whole)
    assert model.tokenizer.ids([text])[0] == whole[0].tolist()


@pytest.mark.parametrize('family', FAMILIES)
def test_vocabulary_and_order_tokens(vocabularies, family):
    model = build_vl(family, vocabularies[family])
    tokenizer = model.tokenizer.tokenizer
    assert len(tokenizer) == VOCAB[family]
    assert tokenizer.convert_ids_to_tokens([VOCAB[family] - 1 - k for k in (0, 1, 99)]) == [
        '<vis_extra_id_0>',
        '<vis_extra_id_1>',
        '<vis_extra_id_99>',
    ]
    if family == 'bart':
        # T5 brings the first hundred along.
        assert tokenizer.convert_ids_to_tokens(VOCAB[family] - EXTRA) == '<extra_id_99>'
    assert model.tokenizer.text(model.tokenizer.ids(['a cat, 10?'])[0]) == 'a cat, 10?'


def test_a_grid_of_more_cells_than_order_tokens_is_refused():
    with pytest.raises(ValueError, match='grid=11 makes 121 tokens'):
        build_vl('bart', grid=11)


def test_pooling_is_a_sliding_maximum_and_the_identity():
    features = torch.randn(2, 3, 49, 5)
    windows = torch.nn.functional.max_pool2d(features.view(6, 7, 7, 5).permute(0, 3, 1, 2), 2, 1)
    torch.testing.assert_close(pool_grid(features, 6), windows.flatten(2).transpose(1, 2).view(2, 3, 36, 5))
    video = torch.randn(2, 1, 64, 5)
    assert torch.equal(pool_grid(video, 8), video)
    for cells in (48, 25):
        with pytest.raises(ValueError, match=f'features have {cells} cells'):
            pool_grid(torch.randn(1, 1, cells, 5), 6)


@pytest.mark.parametrize('task', ['vqa', 'caption', 'nlvr2'])
@pytest.mark.parametrize('granularity', ['large', 'middle_x', 'middle_y'])
@pytest.mark.parametrize('family', FAMILIES)
def test_company_and_padding_change_no_answer(vocabularies, family, granularity, task):
    adapter = dict(VARIANTS[granularity], type='VLPET')
    model = build_vl(family, vocabularies[family], adapter=adapter)
    features, samples = random_samples(task, images=2 if task == 'nlvr2' else 1)
    field = model.tasks[task].output
    together = [sample.get(field) for sample in model(features, copy.deepcopy(samples), mode='predict')]
    alone = [
        model(features[i : i + 1], copy.deepcopy(samples[i : i + 1]), mode='predict')[0].get(field) for i in range(3)
    ]
    assert together == alone


@pytest.mark.parametrize('beams', [1, 3])
@pytest.mark.parametrize('family', FAMILIES)
def test_cached_generation_equals_uncached(vocabularies, family, beams):
    model = build_vl(family, vocabularies[family], adapter=dict(VARIANTS['large'], type='VLPET'))
    features, samples = random_samples()
    encoded = model(features, samples)
    answers = []
    for use_cache in (True, False):
        generation = dict(num_beams=beams, max_length=12, use_cache=use_cache)
        answers.append(model.answer(encoded, Seq2SeqTask(generation=generation)))
    assert answers[0] == answers[1] and any(answers[0])


# BART is fed </s> <s> and its second token is read, T5 <pad> and its first.
@pytest.mark.parametrize('family, start, choices', [('bart', [2, 0], ('false', 'true')), ('t5', [0], ('.', ','))])
def test_choices_compare_the_first_tokens_after_the_start(vocabularies, family, start, choices):
    model = build_vl(family, vocabularies[family], tasks=dict(nlvr2=dict(choices=choices)))
    features, samples = random_samples('nlvr2', batch=24, images=2)
    for i, sample in enumerate(samples):
        sample.text = 'abcdefgh'[i % 8] * (1 + i % 5)
    words = model.tokenizer.tokenizer
    first = [words(text, add_special_tokens=False)['input_ids'][0] for text in choices]
    with torch.no_grad():
        encoded = model(features, samples)
        logits = model.logits(encoded, torch.tensor([start] * len(samples)))[:, -1]
        if family == 'bart':
            # An untrained model nearly always prefers the same one.
            model.lm.final_logits_bias[0, first[0]] += (logits[:, first[1]] - logits[:, first[0]]).median()
            logits = logits + model.lm.final_logits_bias
        found = [sample.pred_answer for sample in model(features, samples, mode='predict')]
    # Of equally likely ones the first.
    expected = [choices[int(row[first[1]] > row[first[0]])] for row in logits]
    assert found == expected
    if family == 'bart':
        assert words.convert_ids_to_tokens(first) == ['f', 't'] and len(set(found)) == 2


def test_a_batch_of_two_tasks_or_an_unknown_one_is_refused(vocabularies):
    model = build_vl('bart', vocabularies['bart'])
    features, samples = random_samples()
    samples[0].task = 'caption'
    with pytest.raises(ValueError, match='this one holds caption, vqa'):
        model(features, samples, mode='loss')
    for sample in samples:
        sample.task = 'gqa'
    with pytest.raises(ValueError, match='one of the tasks vqa, caption, nlvr2; this one holds gqa'):
        model(features, samples, mode='predict')


def test_the_end_token_is_forced_in_beam_search_only(vocabularies):
    """As configured for BART: a beam that was cut off ends properly, a greedy answer is as long as it may be."""
    model = build_vl('bart', vocabularies['bart'])
    encoded = model(*random_samples())
    end = model.lm.config.eos_token_id
    # An end token that never comes by itself.
    model.lm.final_logits_bias[0, end] = -1e4
    last = {}
    original = model.tokenizer.texts
    for name, settings in (('greedy', dict()), ('beam', dict(num_beams=3, forced_eos_token_id=end))):
        model.tokenizer.texts = lambda ids: (last.update({name: ids[:, -1].tolist()}), original(ids))[1]
        model.answer(encoded, Seq2SeqTask(generation=dict(max_length=6, **settings)))
    assert set(last['beam']) == {end} and end not in last['greedy']


def endless(family, vocabulary):
    """A model and its inputs; the end token never comes by itself."""
    model = build_vl(family, vocabulary)
    end = model.lm.config.eos_token_id

    def forbid(module, args, logits):
        logits[..., end] = -1e4
        return logits

    model.lm.get_output_embeddings().register_forward_hook(forbid)
    return model, model(*random_samples())


def lengths(model, encoded, **generation):
    """Tokens of the sequences found, the start token included, and how often the decoder ran."""
    seen, passes = [], []
    handle = model.towers['decoder'].module.register_forward_hook(lambda *_: passes.append(1))
    original = model.tokenizer.texts
    model.tokenizer.texts = lambda ids: (seen.append(ids.shape[1]), original(ids))[1]
    model.answer(encoded, Seq2SeqTask(generation=generation))
    handle.remove()
    model.tokenizer.texts = original
    return seen, len(passes)


def lively(model):
    """Texts that differ and end, which those of an untrained head do not."""
    end, vocabulary = model.lm.config.eos_token_id, model.lm.config.vocab_size
    table = torch.randn(WIDTH, vocabulary, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    table[:, 4 + len(LETTERS) :] = 0
    bonus = 4.0 * (torch.arange(vocabulary) == end) - 9.0 * (torch.arange(vocabulary) >= 4 + len(LETTERS))
    model.lm.get_output_embeddings().register_forward_hook(
        lambda module, args, logits: torch.sin(5 * args[0] / args[0].std(-1, keepdim=True)) @ table + bonus
    )
    return model


# 20 is the library's default, which it takes for "not set" inside a GenerationConfig.
@pytest.mark.parametrize('beams', [1, 3])
@pytest.mark.parametrize('family', FAMILIES)
def test_an_answer_is_as_long_as_asked(vocabularies, family, beams):
    model, encoded = endless(family, vocabularies[family])
    for length in range(15, 26):
        assert lengths(model, encoded, num_beams=beams, max_length=length) == ([length], length - 1)
        assert lengths(model, encoded, num_beams=beams, max_new_tokens=length) == ([1 + length], length)
    assert lengths(model, encoded) == ([20], 19)


# Settings that equal the library's defaults, which the language model's own settings must not replace.
DEFAULTS = dict(
    num_beams=1,
    max_length=20,
    min_length=0,
    length_penalty=1.0,
    early_stopping=False,
    no_repeat_ngram_size=0,
    repetition_penalty=1.0,
    forced_bos_token_id=None,
    forced_eos_token_id=None,
    suppress_tokens=None,
    do_sample=False,
)
OTHERS = dict(
    num_beams=4,
    max_length=9,
    min_length=8,
    length_penalty=3.0,
    early_stopping=True,
    no_repeat_ngram_size=1,
    repetition_penalty=5.0,
    forced_bos_token_id=7,
    forced_eos_token_id=8,
    # Not 7 and 8: transformers 5 refuses to force what is suppressed.
    suppress_tokens=[*range(3, 7), *range(9, 60)],
    do_sample=True,
)


@pytest.mark.parametrize('beams', [1, 3])
@pytest.mark.parametrize('family', FAMILIES)
def test_nothing_is_taken_from_the_settings_of_a_base(vocabularies, family, beams):
    """Whether a setting is left open or says the library's default, a base's own one changes neither text nor score."""
    model = lively(build_vl(family, vocabularies[family]))
    encoded = model(*random_samples(batch=12))
    tasks = [
        Seq2SeqTask(generation=dict(num_beams=beams)),
        Seq2SeqTask(generation=dict(DEFAULTS, num_beams=beams)),
        Seq2SeqTask(generation=dict(num_beams=beams, max_length=20)),
    ]
    expected = model.candidates(encoded, tasks[0])
    assert all(model.candidates(encoded, task) == expected for task in tasks)
    # Each of the other settings does something when a task asks for it.
    effective = ['min_length', 'no_repeat_ngram_size', 'repetition_penalty', 'forced_bos_token_id', 'suppress_tokens']
    for name in effective + ['length_penalty'] * (beams > 1):
        assert model.candidates(encoded, Seq2SeqTask(generation={'num_beams': beams, name: OTHERS[name]})) != expected
    model.lm.generation_config.update(**OTHERS)
    assert all(model.candidates(encoded, task) == expected for task in tasks)
    # The same in the geometry, where files of BART have them.
    told = lively(build_vl(family, vocabularies[family], lm=dict(LM[family], **OTHERS)))
    assert all(told.candidates(encoded, task) == expected for task in tasks)


@pytest.mark.parametrize('length_penalty', [1.0, 2.0])
@pytest.mark.parametrize('family', FAMILIES)
def test_probabilities_are_means_over_tokens_whatever_the_length_penalty(vocabularies, family, length_penalty):
    model = lively(build_vl(family, vocabularies[family]))
    encoded = model(*random_samples(batch=6))
    task = Seq2SeqTask(generation=dict(num_beams=3, max_length=8, length_penalty=length_penalty))
    start, end = model.lm.config.decoder_start_token_id, model.lm.config.eos_token_id
    ids = model._generate(encoded, task, num_return_sequences=3).sequences[:, 1:]
    found = [one for kept in model.candidates(encoded, task) for one in kept]
    for row, (tokens, one) in enumerate(zip(ids.tolist(), found)):
        tokens = tokens[: tokens.index(end)] if end in tokens else tokens
        alone = type(encoded)(*(part[row // 3 : row // 3 + 1] for part in encoded))
        mean = slow_mean(
            lambda new: model.logits(alone, torch.tensor([[start, *new]]))[0, -1].log_softmax(-1).tolist(),
            tokens,
            end,
            7,
        )
        assert one.probability == pytest.approx(math.exp(mean), rel=1e-4)


@pytest.mark.parametrize('beams', [1, 2, 3])
@pytest.mark.parametrize('family', FAMILIES)
def test_candidates_equal_a_slow_search(vocabularies, family, beams):
    model = lively(build_vl(family, vocabularies[family]))
    encoded = model(*random_samples(batch=12))
    task = Seq2SeqTask(generation=dict(num_beams=beams, max_length=8))
    start, end = model.lm.config.decoder_start_token_id, model.lm.config.eos_token_id
    candidates, sizes = model.candidates(encoded, task), set()
    assert [found[0].text for found in candidates] == model.answer(encoded, task)
    for row, found in enumerate(candidates):
        alone = type(encoded)(*(part[row : row + 1] for part in encoded))
        expected = slow_search(
            lambda new: model.logits(alone, torch.tensor([[start, *new]]))[0, -1].log_softmax(-1).tolist(),
            beams,
            end,
            7,
            'default',
            1,
        )
        sizes |= {len(ids) for ids, _ in expected}
        assert [one.text for one in found] == [
            text.strip() for text in model.tokenizer.texts([ids for ids, _ in expected])
        ]
        assert [one.score for one in found] == pytest.approx([score for _, score in expected], rel=1e-4)
    assert 7 in sizes and len(sizes) > 2  # finished and unfinished ones


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(num_beam=3), "generation has no 'num_beam'; did you mean 'num_beams'"),
        (dict(num_return_sequences=2), "generation has no 'num_return_sequences'"),
        (dict(max_length=1), 'max_length=1; it is an integer of at least 2'),
        (dict(max_length=None), 'max_length=None; it is an integer of at least 2'),
        (dict(max_new_tokens=0), 'max_new_tokens=0; it is an integer of at least 1'),
        (dict(num_beams=0), 'num_beams=0; it is an integer of at least 1'),
    ],
)
def test_settings_of_generation_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Seq2SeqTask(generation=settings)


@pytest.mark.parametrize('family', FAMILIES)
def test_recomputed_activations_give_the_same_gradients(vocabularies, family):
    """Two tasks of different lengths in one backward pass; the gate's mean is over each one's own real tokens."""
    adapter = dict(VARIANTS['small'], type='VLPET', mean='masked')
    grads, passes = [], []
    for towers in ((), ('encoder', 'decoder')):
        model = build_vl(family, vocabularies[family], adapter=adapter, gradient_checkpointing=towers)
        model.train()
        calls = []
        for name in ('encoder', 'decoder'):
            ffn = model.towers[name].blocks[0].sublayers['ffn'].linears['fc1'].path
            model.towers[name].module.get_submodule(ffn).register_forward_hook(lambda *_: calls.append(1))
        losses = [model(*random_samples(task), mode='loss')[f'loss_{task}'] for task in ('vqa', 'caption')]
        sum(losses).backward()
        grads.append({name: param.grad for name, param in model.named_parameters() if param.grad is not None})
        passes.append(len(calls))
    assert passes == [4, 8] and set(grads[0]) == set(grads[1]) and len(grads[0]) > 30
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, rtol=1e-10, atol=1e-12, msg=name)
