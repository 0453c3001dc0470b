"""Prefix tuning equals peft's on copied weights, and a cache that starts with the prefix."""

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model
from transformers import DynamicCache, EncoderDecoderCache

import vlpeft
from tests.majors import CACHE
from tests.models.test_epalm_decoding import MODES, build, search
from tests.plain_models import PLAIN
from tests.slow_prompts import rows_of
from tests.tiny import build_retriever, build_vqa, randomise
from tests.tiny_epalm import EPALM, LAYERS, LMS, WINDOWED, build_perceptual, random_texts, random_vectors
from tests.tiny_vl import build_vl, random_samples, write_tokenizer
from vlpeft.models.backbones import CrossContext, KeyValue, SelfCache
from vlpeft.sites import SiteError, checkpoint_blocks

EXACT = dict(rtol=1e-8, atol=1e-10)
LENGTH = 3
CAUSAL, SEQ2SEQ = ('gpt2', 'llama', 'opt'), ('bart', 't5')
PREFIX = dict(type='PrefixTuning', length=LENGTH)


def attached(name, **options):
    adapter = vlpeft.attach(PLAIN[name].model(), dict(PREFIX, **options), check_after=0)
    randomise(adapter.sets, seed=1)
    return adapter


def unit_of(adapter):
    (unit,) = adapter.sets['default'].prefixes.values()
    return unit


#: Which pair of keys and values each of the two blocks has in peft. In encoder-decoders it uses every second one only:
#: block i of N has pair 2 i mod N.
PAIRS = {**dict.fromkeys(CAUSAL, [0, 1]), **dict.fromkeys(SEQ2SEQ, [0, 0])}


def in_peft(name, adapter, hidden):
    """The real peft on the same model with our weights, and (theirs, ours, whether its rows or columns are pairs)."""
    kind = 'CAUSAL_LM' if name in CAUSAL else 'SEQ_2_SEQ_LM'
    config = PrefixTuningConfig(
        task_type=kind, num_virtual_tokens=LENGTH, prefix_projection=hidden is not None, encoder_hidden_size=hidden
    )
    theirs, unit = get_peft_model(PLAIN[name].model(), config).double().eval(), unit_of(adapter)
    encoder = theirs.prompt_encoder['default']
    params = [(encoder.embedding.weight, unit.table, None if hidden else 1)]
    for i in (0, 2) if hidden is not None else ():
        dim = 0 if i else None
        params += [
            (getattr(encoder.transform[i], leaf), getattr(unit.mlp[i], leaf), dim) for leaf in ('weight', 'bias')
        ]
    with torch.no_grad():
        for other, own, dim in params:
            other.copy_(own)
            if dim is not None:
                own.copy_(torch.cat([other.chunk(2, dim)[pair] for pair in PAIRS[name]], dim))
    return theirs, params


def as_in_peft(name, grad, dim):
    """Our gradient by what peft holds once."""
    if dim is None:
        return grad
    found = [torch.zeros_like(part) for part in grad.chunk(2, dim)]
    for pair, part in zip(PAIRS[name], grad.chunk(2, dim)):
        found[pair] += part
    return torch.cat(found, dim)


def labelled(name):
    batch = PLAIN[name].inputs(3)
    if name in CAUSAL:
        batch['labels'] = batch['input_ids'].masked_fill(batch['attention_mask'] == 0, -100)
    else:
        batch['labels'] = batch.pop('decoder_input_ids')
    return batch


@pytest.mark.parametrize('hidden', [None, 7])
@pytest.mark.parametrize('name', [*CAUSAL, *SEQ2SEQ])
def test_logits_losses_and_gradients_are_those_of_peft(name, hidden):
    adapter = attached(name, hidden=hidden)
    theirs, params = in_peft(name, adapter, hidden)
    batch = labelled(name)
    ours, other = adapter(**batch), theirs(**batch)
    torch.testing.assert_close(ours.logits, other.logits, **EXACT)
    # transformers computes the losses of language models in single precision.
    torch.testing.assert_close(ours.loss, other.loss, rtol=1e-6, atol=1e-6)
    others, owns, dims = zip(*params)
    found = torch.autograd.grad(ours.logits.square().sum(), owns)
    expected = torch.autograd.grad(other.logits.square().sum(), others)
    for grad, other_grad, dim in zip(found, expected, dims):
        assert other_grad.abs().max() > 1e-3
        torch.testing.assert_close(as_in_peft(name, grad, dim), other_grad, **EXACT)


@pytest.mark.parametrize('name', [*CAUSAL, *SEQ2SEQ])
def test_answers_are_those_of_peft(name):
    adapter = attached(name)
    theirs, _ = in_peft(name, adapter, None)
    prompts = PLAIN[name].prompts(2)
    options = dict(max_new_tokens=5, do_sample=False, pad_token_id=1, eos_token_id=None)
    found = adapter.generate(**prompts, **options)
    # Not by its generate, which counts the positions of BART's answers from 0, unlike its forward pass.
    key = 'decoder_input_ids' if name in SEQ2SEQ else 'input_ids'
    ids = prompts['input_ids'] if name in CAUSAL else found[:, :1]
    for _ in range(5):
        logits = theirs(**({**prompts, key: ids} if name in SEQ2SEQ else dict(input_ids=ids)), use_cache=False).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], 1)
    assert torch.equal(found, ids)
    with adapter.use(None):
        assert not torch.equal(found, adapter.generate(**prompts, **options))


@pytest.mark.parametrize('dtype, rtol', [(torch.float64, 1e-8), (torch.float32, 1e-4)])
@pytest.mark.parametrize('name', [*CAUSAL, *SEQ2SEQ])
def test_a_cache_that_holds_the_prefix_computes_the_same(name, dtype, rtol):
    adapter = attached(name, hidden=7).to(dtype)
    plain, batch = PLAIN[name].model(dtype), PLAIN[name].inputs(3)
    rows = rows_of(dict(unit_of(adapter).named_parameters()))
    depth, heads = 2, 2 if name == 'llama' else 4
    cache = DynamicCache()
    for layer in range(depth):
        pair = []
        for part in (2 * layer, 2 * layer + 1):
            width = rows.shape[1] // (2 * depth)
            columns = rows[:, part * width : (part + 1) * width]
            pair.append(torch.stack(columns.chunk(heads, -1)).expand(3, -1, -1, -1))
        cache.update(*pair, layer)
    if name in SEQ2SEQ:
        cache = EncoderDecoderCache(cache, DynamicCache())
    else:
        mask = batch['attention_mask']
        batch['attention_mask'] = torch.cat([mask.new_ones(3, LENGTH), mask], 1)
    expected = plain(**batch, **{CACHE: cache}).logits
    found = PLAIN[name].run(adapter)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * float(expected.detach().abs().max()))
    params = list(unit_of(adapter).parameters())
    for fast, slow in zip(*(torch.autograd.grad(out.square().sum(), params) for out in (found, expected))):
        torch.testing.assert_close(fast, slow, rtol=rtol, atol=rtol * float(slow.abs().max()))


@pytest.mark.parametrize('name', [*CAUSAL, *SEQ2SEQ])
def test_beams_with_a_cache_are_those_without_and_padding_changes_nothing(name):
    adapter = attached(name)
    ids = PLAIN[name].prompts(2)['input_ids']
    options = dict(max_new_tokens=5, num_beams=3, do_sample=False, pad_token_id=1, eos_token_id=None)
    options.update(return_dict_in_generate=True, output_scores=True)
    whole = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
    fast, slow = (adapter.generate(**whole, **options, use_cache=cache) for cache in (True, False))
    assert torch.equal(fast.sequences, slow.sequences)
    torch.testing.assert_close(fast.sequences_scores, slow.sequences_scores, rtol=1e-6, atol=1e-8)
    left = torch.nn.functional.pad(ids, (2, 0), value=1)
    mask = torch.ones_like(left).index_fill(1, torch.tensor([0, 1]), 0)
    if name not in SEQ2SEQ:
        found = adapter.generate(input_ids=left, attention_mask=mask, **options)
        torch.testing.assert_close(found.sequences_scores, fast.sequences_scores, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('name', [*CAUSAL, *SEQ2SEQ])
def test_the_callers_cache_never_holds_the_prefix(name):
    adapter, batch = attached(name), PLAIN[name].inputs(2)
    batch.pop('use_cache')
    # Of a tower that makes its own cache, and none where none is asked for.
    out = adapter(**batch, use_cache=True)
    length = batch['decoder_input_ids' if name in SEQ2SEQ else 'input_ids'].shape[1]
    assert out[CACHE].get_seq_length() == length
    assert type(out[CACHE]) is (EncoderDecoderCache if name in SEQ2SEQ else DynamicCache)
    assert adapter(**batch, use_cache=False).get(CACHE) is None
    as_tuple = adapter(**batch, use_cache=True, return_dict=False)
    assert as_tuple[1].get_seq_length() == length
    torch.testing.assert_close(as_tuple[0], out.logits, **EXACT)


def test_blocks_may_run_twice_without_a_cache_only():
    for name, keeps in (('gpt2', 'past'), ('bart', 'past')):
        adapter, batch = attached(name), PLAIN[name].inputs(2)
        batch.pop('use_cache')
        for tower in adapter.towers.values():
            checkpoint_blocks(tower, adapter.hooks.switch)
        adapter(**batch, use_cache=False).logits.sum().backward()
        assert unit_of(adapter).table.grad.any(), keeps
        with pytest.raises(SiteError, match='would fill the cache of keys and values twice'):
            adapter(**batch, use_cache=True)


def test_checkpointing_that_takes_the_cache_away_is_refused():
    adapter = attached('gpt2')
    adapter.gradient_checkpointing_enable()
    adapter.train()
    with pytest.raises(SiteError, match="PrefixTuning: transformers' own gradient checkpointing takes away the cache"):
        adapter(**PLAIN['gpt2'].inputs(2))


@pytest.mark.parametrize('part', ['text', 'decoder'])
def test_on_blip_it_stands_before_the_keys_of_every_block(part):
    model = (
        build_retriever(adapter=PREFIX)
        if part == 'text'
        else build_vqa(adapter=dict(PREFIX, targets=dict(towers=['decoder'])))
    )
    encoder = model.text if part == 'text' else model.decoder.bert
    ids = torch.randint(5, 20, (2, 5), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids) if part == 'decoder' else torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    tokens = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1)).double()
    context, causal = CrossContext(encoder.project_context(tokens)), part == 'decoder'
    found = encoder(ids, mask, context, causal)
    table = model.adapter.prefixes[part].table
    cache = SelfCache()
    for layer in range(2):
        pair = (table[:, 16 * (2 * layer + i) : 16 * (2 * layer + i + 1)] for i in (0, 1))
        cache.extend(layer, KeyValue(*(torch.stack(rows.chunk(2, -1)).expand(2, -1, -1, -1) for rows in pair)))
    with model.switch.use(None):
        longer = torch.cat([mask.new_ones(2, LENGTH), mask], 1)
        expected = encoder.encoder(encoder.embeddings(ids), longer, context, causal, cache)
    torch.testing.assert_close(found, expected, **EXACT)
    if causal:
        cache = SelfCache()
        for end in range(1, 6):
            step = encoder(ids[:, end - 1 : end], torch.ones_like(ids[:, :end]), context, True, cache)
            torch.testing.assert_close(step[:, 0], found[:, end - 1], **EXACT)
        assert cache.get_seq_length() == 5


@pytest.mark.parametrize('family', SEQ2SEQ)
def test_in_the_model_with_vision(tmp_path, family):
    model = build_vl(family, write_tokenizer(tmp_path, family), adapter=PREFIX)
    assert set(model.adapter.prefixes) == {'decoder'}
    features, samples = random_samples('vqa')
    model(features, samples, mode='loss')['loss_vqa'].backward()
    assert model.adapter.prefixes['decoder'].table.grad.any()
    features, samples = random_samples('caption')
    texts = [sample.pred_caption for sample in model(features, samples, mode='predict')]
    with model.switch.use(None):
        assert texts != [sample.pred_caption for sample in model(features, samples, mode='predict')]


ALONE = dict(type='EPALM', levels=0, prompt_length=0)


@pytest.mark.parametrize('lm', [lm for lm in LMS if lm not in WINDOWED])
def test_the_perceptual_model_is_the_language_model_with_a_prefix(lm):
    model = build_perceptual(lm=lm, adapter=[ALONE, PREFIX])
    tokens = random_texts((5, 5))
    found = model.logits(None, tokens)
    cache, table = DynamicCache(), model.adapter.parts[1].prefixes['lm'].table
    heads, depth = model.towers['lm'].entrance.heads, LAYERS
    width = table.shape[1] // (2 * depth)
    for layer in range(depth):
        pair = (table[:, width * (2 * layer + i) : width * (2 * layer + i + 1)] for i in (0, 1))
        cache.update(*(torch.stack(rows.chunk(heads, -1)).expand(2, -1, -1, -1) for rows in pair), layer)
    with model.switch.use(None):
        expected = model.lm(input_ids=tokens.ids, **{CACHE: cache}).logits
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize('mode', MODES, ids=str)
@pytest.mark.parametrize('beams', [1, 3])
@pytest.mark.parametrize('lm', [lm for lm in LMS if lm not in WINDOWED])
def test_the_perceptual_model_decodes_with_its_cache_as_without(lm, beams, mode):
    visual_row, end, _ = mode
    method = dict(EPALM, end=end, prompt_length=1)
    model = build(lm=lm, adapter=[method, PREFIX], visual_row=visual_row)
    tokens, vectors, scores = random_texts((4, 3, 2), left=True), random_vectors(model), ([], [])
    fast, slow = (
        search(model, tokens, vectors, beams, cached, lambda ids, origin, logits, seen=seen: seen.append(logits))
        for cached, seen in zip((True, False), scores)
    )
    assert fast == slow and len(scores[0]) == len(scores[1]) > 3
    for ours, theirs in zip(*scores):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    'name, options, message',
    [
        ('bart', dict(targets=dict(towers=['encoder'])), r'PrefixTuning: tower "encoder" keeps no cache of keys and'),
        ('vit', {}, r'PrefixTuning: tower "vision" keeps no cache of keys and values'),
        ('gpt2', dict(targets=dict(depths=[0])), r'acts on whole towers, but its targets name depths \[0\]'),
    ],
)
def test_what_cannot_be_is_refused(name, options, message):
    with pytest.raises(SiteError, match=message):
        attached(name, **options)
