"""The sequence-to-sequence model against the slow restatement, and its ways to answer."""

import copy

import pytest
import torch

from tests.slow_vl import SlowVL, check_gradients
from tests.tiny_seq2seq import KeepDouble
from tests.tiny_vl import EXTRA, VOCAB, build_vl, random_samples, write_tokenizer
from vlpeft.models.backbones.visual_embedding import pool_grid
from vlpeft.models.tasks.seq2seq_task import Seq2SeqTask

FAMILIES = ('bart', 't5')
VARIANTS = {
    granularity: dict(granularity=granularity, bottleneck=4, num_heads=2, value_bottleneck=3, scale=0.7)
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
    model = build_vl(family, vocabularies[family], dtype, adapter=adapter, train_norms=['encoder'],
                     trainable='heads' if adapter else 'all')
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
                one = model.logits(type(encoded)(*(part[row:row + 1] for part in encoded)), start)[0]
                torch.testing.assert_close(one, logits, rtol=rtol, atol=rtol * float(logits.abs().max()))


@pytest.mark.parametrize('family', FAMILIES)
def test_vocabulary_and_order_tokens(vocabularies, family):
    model = build_vl(family, vocabularies[family])
    tokenizer = model.tokenizer.tokenizer
    assert len(tokenizer) == VOCAB[family]
    assert tokenizer.convert_ids_to_tokens([VOCAB[family] - 1 - k for k in (0, 1, 99)]) == [
        '<vis_extra_id_0>', '<vis_extra_id_1>', '<vis_extra_id_99>']
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
    alone = [model(features[i:i + 1], copy.deepcopy(samples[i:i + 1]), mode='predict')[0].get(field) for i in range(3)]
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
