"""Prompt tuning equals the model reading further words, and peft's on copied weights."""

import copy

import pytest
import torch
from peft import PromptTuningConfig, get_peft_model
from torch import nn

import vlpeft
from tests.majors import CACHE, MASKS
from tests.models.test_epalm_decoding import build, search
from tests.plain_models import PLAIN
from tests.slow_prompts import SlowPrompted, rows_of
from tests.slow_vl import SlowVL, check_gradients
from tests.tiny import build_retriever, build_vqa, randomise
from tests.tiny_epalm import EPALM, LMS, build_perceptual, random_vectors
from tests.tiny_epalm import random_texts as perceptual_texts
from tests.tiny_seq2seq import BACKBONES, KeepDouble, build_adapted, random_texts
from tests.tiny_vl import build_vl, random_samples, write_tokenizer
from tests.towers import CLIP_TEXT
from tests.workspace import ROOT
from vlpeft.engine.config_file import read_config
from vlpeft.models import count_parameters
from vlpeft.registry import MODELS
from vlpeft.sites import SiteError
from vlpeft.testing import SUBJECTS

EXACT = dict(rtol=1e-8, atol=1e-10)
LENGTH = 3
CAUSAL, SEQ2SEQ = ('gpt2', 'llama', 'opt'), ('bart', 't5')


def attached(name, **options):
    adapter = vlpeft.attach(PLAIN[name].model(), dict(type='PromptTuning', length=LENGTH, **options), check_after=0)
    randomise(adapter.sets, seed=1)
    return adapter


def in_peft(name, adapter):
    """The real peft on the same model, with our table."""
    kind = 'CAUSAL_LM' if name in CAUSAL else 'SEQ_2_SEQ_LM'
    config = PromptTuningConfig(task_type=kind, num_virtual_tokens=LENGTH, num_transformer_submodules=1)
    theirs = get_peft_model(PLAIN[name].model(), config).double().eval()
    table = adapter.get_parameter(f'sets.default.prompts.{"lm" if name in CAUSAL else "encoder"}.table')
    with torch.no_grad():
        theirs.prompt_encoder['default'].embedding.weight.copy_(table)
    return theirs, table


def labelled(name):
    batch = PLAIN[name].inputs(3)
    if name in CAUSAL:
        # peft's last virtual token predicts the first of the text, which nothing predicts in the text's own logits.
        batch['labels'] = batch['input_ids'].masked_fill(batch['attention_mask'] == 0, -100)
        batch['labels'][:, 0] = -100
    else:
        batch['labels'] = batch.pop('decoder_input_ids')
    return batch


@pytest.mark.parametrize('name', [*CAUSAL, *SEQ2SEQ])
def test_logits_losses_and_gradients_are_those_of_peft(name):
    adapter = attached(name, positions=True)
    theirs, table = in_peft(name, adapter)
    batch = labelled(name)
    ours, other = adapter(**batch), theirs(**batch)
    assert ours.logits.shape[1] == batch['labels'].shape[1]
    of_texts = other.logits[:, -ours.logits.shape[1] :]
    torch.testing.assert_close(ours.logits, of_texts, **EXACT)
    # transformers computes the losses of language models in single precision.
    torch.testing.assert_close(ours.loss, other.loss, rtol=1e-6, atol=1e-6)
    (grad,) = torch.autograd.grad(ours.logits.square().sum(), [table])
    (expected,) = torch.autograd.grad(of_texts.square().sum(), [theirs.prompt_encoder['default'].embedding.weight])
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(grad, expected, **EXACT)


@pytest.mark.parametrize('name', [*CAUSAL, *SEQ2SEQ])
def test_answers_are_those_of_peft(name):
    adapter = attached(name, positions=True)
    theirs, _ = in_peft(name, adapter)
    options = dict(max_new_tokens=5, do_sample=False, pad_token_id=1, eos_token_id=None)
    found = adapter.generate(**PLAIN[name].prompts(2), **options)
    # peft 0.21 does not know the cache by its name in transformers 5.
    assert torch.equal(found, theirs.generate(**PLAIN[name].prompts(2), **options, use_cache=False))
    with adapter.use(None):
        assert not torch.equal(found, adapter.generate(**PLAIN[name].prompts(2), **options))


@pytest.mark.parametrize('dtype, rtol', [(torch.float64, 1e-8), (torch.float32, 1e-4)])
@pytest.mark.parametrize('options', [{}, dict(hidden=7), dict(positions=True)], ids=str)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_encoders_equal_the_slow_restatement(backbone, options, dtype, rtol):
    model = build_adapted(backbone, dict(type='PromptTuning', length=LENGTH, **options), dtype)
    ids, mask, target = random_texts()
    with KeepDouble():
        found = model(ids, mask, target)
    rows = rows_of(dict(model.adapter.named_parameters()), 'prompts.encoder.')
    slow = SlowPrompted(dict(model.lm.named_parameters()), model.lm.config, rows, options.get('positions', False))
    expected = torch.stack(
        [slow.logits(target[i], slow.encoder(ids[i], real), real) for i, real in enumerate(mask.bool())]
    )
    torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol * float(expected.detach().abs().max()))
    params = list(model.adapter.parameters())
    for fast, grad in zip(*(torch.autograd.grad(out.square().sum(), params) for out in (found, expected))):
        torch.testing.assert_close(fast, grad, rtol=rtol, atol=rtol * float(grad.abs().max()))
        assert grad.abs().max() > 0
    with model.switch.use(None), torch.no_grad():
        assert (model(ids, mask, target) - found).abs().max() > 1e-2


@pytest.mark.parametrize('name, table', [('gpt2', 'transformer.wpe'), ('opt', 'model.decoder.embed_positions')])
def test_a_language_model_reads_rows_without_positions(name, table):
    """Restated by a position of zeros that the rows have, at the end of a longer table."""
    adapter, plain = attached(name), PLAIN[name].model()
    batch = PLAIN[name].inputs(3)
    positions = plain.get_submodule(table)
    spare = len(positions.weight)
    positions.weight = nn.Parameter(torch.cat([positions.weight, torch.zeros_like(positions.weight[:1])]))
    rows = adapter.sets['default'].prompts['lm'].table.expand(3, -1, -1)
    ids, mask = batch['input_ids'], batch['attention_mask']
    own = torch.arange(ids.shape[1]).expand(3, -1)
    offset = getattr(positions, 'offset', 0)
    expected = plain(
        inputs_embeds=torch.cat([rows, plain.get_input_embeddings()(ids)], 1),
        attention_mask=torch.cat([mask.new_ones(3, LENGTH), mask], 1),
        position_ids=torch.cat([own.new_full((3, LENGTH), spare - offset), own], 1),
        use_cache=False,
    ).logits[:, LENGTH:]
    real = mask.bool()
    torch.testing.assert_close(adapter(**batch).logits[real], expected[real], **EXACT)


@pytest.mark.parametrize('positions', [False, True])
@pytest.mark.parametrize('name', [*CAUSAL, *SEQ2SEQ])
def test_beams_with_a_cache_are_those_without_and_padding_changes_nothing(name, positions):
    adapter = attached(name, positions=positions)
    ids = PLAIN[name].prompts(2)['input_ids']
    options = dict(max_new_tokens=5, num_beams=3, do_sample=False, pad_token_id=1, eos_token_id=None)
    options.update(return_dict_in_generate=True, output_scores=True)
    whole = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
    fast, slow = (adapter.generate(**whole, **options, use_cache=cache) for cache in (True, False))
    assert torch.equal(fast.sequences, slow.sequences)
    torch.testing.assert_close(fast.sequences_scores, slow.sequences_scores, rtol=1e-6, atol=1e-8)
    left = nn.functional.pad(ids, (2, 0), value=1)
    padded = dict(input_ids=left, attention_mask=torch.ones_like(left).index_fill(1, torch.tensor([0, 1]), 0))
    if name not in SEQ2SEQ:
        found = adapter.generate(**padded, **options)
        torch.testing.assert_close(found.sequences_scores, fast.sequences_scores, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('name', SEQ2SEQ)
def test_a_decoder_has_a_prompt_where_it_is_named(name):
    adapter = attached(name, targets=dict(towers=['encoder', 'decoder']))
    prompts = adapter.sets['default'].prompts
    assert set(prompts) == {'encoder', 'decoder'} and set(attached(name).sets['default'].prompts) == {'encoder'}
    batch = dict(PLAIN[name].inputs(2), output_hidden_states=True)
    out = adapter(**batch)
    length, words = batch['decoder_input_ids'].shape[1], batch['input_ids'].shape[1]
    assert {states.shape[1] for states in out.decoder_hidden_states} == {length}
    assert {states.shape[1] for states in out.encoder_hidden_states} == {LENGTH + words}
    if name == 't5':
        # It reads its rows as it reads words.
        lm = PLAIN[name].model()
        encoder, decoder = (
            torch.cat([prompts[tower].table.expand(2, -1, -1), lm.get_input_embeddings()(batch[ids])], 1)
            for tower, ids in (('encoder', 'input_ids'), ('decoder', 'decoder_input_ids'))
        )
        mask = batch['attention_mask']
        mask = torch.cat([mask.new_ones(2, LENGTH), mask], 1)
        expected = lm(inputs_embeds=encoder, attention_mask=mask, decoder_inputs_embeds=decoder, use_cache=False)
        torch.testing.assert_close(out.logits, expected.logits[:, LENGTH:], **EXACT)


@pytest.mark.parametrize('name', CAUSAL)
def test_a_text_that_goes_on_from_a_cache_is_read_whole_or_refused(name):
    """``generate`` leaves out as many ids as the cache of an earlier call has rows, of which P are no ids."""
    adapter, options = attached(name), dict(max_new_tokens=3, do_sample=False, eos_token_id=None, pad_token_id=1)
    first = adapter.generate(torch.tensor([[3, 4, 5]]), **options, return_dict_in_generate=True)
    text = torch.cat([first.sequences, torch.tensor([[6, 7, 8, 9]])], 1)
    with pytest.raises(SiteError, match=r'the text is of \d+ rows, the cache has \d+ and \d are new'):
        adapter.generate(text, **{CACHE: copy.deepcopy(first[CACHE])}, **options)
    # The model's own call is told which ids are new.
    new = text[:, first[CACHE].get_seq_length() - adapter.sets['default'].length :]
    mask = torch.ones_like(text)
    later = adapter(input_ids=new, attention_mask=mask, **{CACHE: first[CACHE]}).logits
    torch.testing.assert_close(later, adapter(input_ids=text).logits[:, -new.shape[1] :], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('positions', [False, True])
@pytest.mark.parametrize('backbone', BACKBONES)
def test_decoders_equal_the_slow_restatement(backbone, positions):
    config = dict(type='PromptTuning', length=LENGTH, positions=positions, targets=dict(towers=['decoder']))
    model = build_adapted(backbone, config)
    ids, mask, target = random_texts()
    with KeepDouble():
        found = model(ids, mask, target)
    rows = rows_of(dict(model.adapter.named_parameters()), 'prompts.decoder.')
    whole = SlowPrompted(dict(model.lm.named_parameters()), model.lm.config, rows, positions)
    new, slow = torch.arange(whole.known, whole.known + LENGTH), whole.slow
    for i, real in enumerate(mask.bool()):
        logits = slow.logits(torch.cat([new, target[i]]), slow.encoder(ids[i], real), real)
        torch.testing.assert_close(found[i], logits[LENGTH:, : whole.known], **EXACT)


@pytest.mark.parametrize('positions', [False, True])
@pytest.mark.parametrize('name', SEQ2SEQ)
def test_decoders_answer_with_a_cache_as_without(name, positions):
    adapter = attached(name, positions=positions, targets=dict(towers=['encoder', 'decoder']))
    options = dict(max_new_tokens=5, num_beams=3, do_sample=False, pad_token_id=1, eos_token_id=None)
    options.update(return_dict_in_generate=True, output_scores=True)
    fast, slow = (adapter.generate(**PLAIN[name].prompts(2), **options, use_cache=cache) for cache in (True, False))
    assert torch.equal(fast.sequences, slow.sequences)
    torch.testing.assert_close(fast.sequences_scores, slow.sequences_scores, rtol=1e-6, atol=1e-8)


def test_an_encoder_that_nobody_reads_returns_the_text_alone():
    whole = attached('bart')
    encoder = PLAIN['bart'].model().model.encoder
    alone = vlpeft.attach(encoder, dict(type='PromptTuning', length=LENGTH), check_after=0)
    alone.sets.load_state_dict(whole.sets.state_dict())
    batch = PLAIN['bart'].inputs(2)
    texts = dict(input_ids=batch['input_ids'], attention_mask=batch['attention_mask'])
    expected = whole.model.model.encoder(**texts).last_hidden_state[:, LENGTH:]
    torch.testing.assert_close(alone(**texts).last_hidden_state, expected, **EXACT)
    as_tuple = alone(**texts, return_dict=False)[0]
    torch.testing.assert_close(as_tuple, expected, **EXACT)


@pytest.fixture(scope='module')
def vocabularies(tmp_path_factory):
    return {family: write_tokenizer(tmp_path_factory.mktemp(family), family) for family in BACKBONES}


@pytest.mark.parametrize('family', BACKBONES)
def test_with_vision_tokens_after_the_text(vocabularies, family):
    adapter = dict(type='PromptTuning', length=LENGTH, hidden=7)
    model = build_vl(family, vocabularies[family], adapter=adapter)
    slow = SlowVL.of(model, {})
    trained = {name: param for name, param in model.named_parameters() if param.requires_grad}
    for task, images in (('vqa', 1), ('caption', 2)):
        features, samples = random_samples(task, images=images)
        rows = rows_of(dict(model.adapter.named_parameters()), 'prompts.encoder.')
        slow.slow = SlowPrompted(dict(model.lm.named_parameters()), model.lm.config, rows)
        expected = slow.loss(features, samples, model.tasks[task].loss)
        with KeepDouble():
            found = model(features, samples, mode='loss')[f'loss_{task}']
        torch.testing.assert_close(found, expected, **EXACT)
        check_gradients(trained, found, expected, 1e-8)
    encoded = model(features, samples)
    assert encoded.mask.shape == encoded.states.shape[:2]
    assert all(isinstance(sample.pred_caption, str) for sample in model(features, samples, mode='predict'))


def test_the_count_of_the_released_baseline():
    model = read_config(ROOT / 'configs/_base_/models/vl_bart.py').model
    config = dict(model, base_checkpoint=None, adapter=dict(type='PromptTuning', length=40, hidden=800))
    with torch.device('meta'):
        counts = count_parameters(MODELS.build(config))
    assert (counts['trainable'], counts['total']) == (2_843_936, 142_417_952)
    assert counts['by_role']['soft_prompt'] == 40 * 768 + 768 * 800 + 800 + 800 * 768 + 768


def test_on_blip_rows_join_after_the_norm_of_the_embeddings():
    config = dict(type='PromptTuning', length=LENGTH)
    model = build_retriever(adapter=config)
    ids = torch.randint(5, 20, (2, 4), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    rows = model.adapter.prompts['text'].table.expand(2, -1, -1)
    found = model.text(ids, mask)
    with model.switch.use(None):
        expected = model.text.encoder(
            torch.cat([rows, model.text.embeddings(ids)], 1), torch.cat([mask.new_ones(2, LENGTH), mask], 1)
        )[:, LENGTH:]
    torch.testing.assert_close(found, expected, **EXACT)


def read_by_clip(text, rows, ids, mask, is_causal):
    """Hidden states of the text behind the rows, whose masks are made here."""
    x = torch.cat([rows.expand(len(ids), -1, -1), text.embeddings(input_ids=ids)], 1)
    real = torch.cat([mask.new_ones(len(ids), LENGTH), mask], 1).bool()
    visible = real[:, None, None].expand(-1, 1, x.shape[1], -1)
    visible = visible.tril() if is_causal else visible
    additive = torch.zeros(visible.shape, dtype=x.dtype).masked_fill(~visible, torch.finfo(x.dtype).min)
    for layer in text.encoder.layers:
        out = layer(x, additive, *[None] * (MASKS - 1)) if is_causal else layer(x, additive)
        x = out[0] if isinstance(out, tuple) else out
    return text.final_layer_norm(x)[:, LENGTH:]


@pytest.mark.parametrize('name, is_causal', [('clip', True), ('siglip', False)])
def test_text_transformers_of_pairs_equal_the_loop(name, is_causal):
    model, plain = SUBJECTS[name].model(), SUBJECTS[name].model().text_model
    adapter = vlpeft.attach(model, dict(type='PromptTuning', length=LENGTH), check_after=0)
    randomise(adapter.sets, seed=1)
    table, batch = adapter.sets['default'].prompts['text'].table, SUBJECTS[name].inputs(3)
    texts = dict(input_ids=batch['input_ids'], attention_mask=batch['attention_mask'])
    out = model.text_model(**texts)
    expected = read_by_clip(plain, table, *texts.values(), is_causal)
    real = texts['attention_mask'].bool()
    close = dict(rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.last_hidden_state[real], expected[real], **close)
    if name == 'siglip':
        torch.testing.assert_close(out.pooler_output, plain.head(out.last_hidden_state[:, -1]), **close)
    grads = [
        torch.autograd.grad(states[real].square().sum(), [table])[0] for states in (out.last_hidden_state, expected)
    ]
    torch.testing.assert_close(*grads, **close)
    assert grads[0].abs().max() > 1e-2


def test_on_our_clip_text_model():
    config = dict(type='ClipTextEncoder', config=CLIP_TEXT)
    model, plain = (randomise(MODELS.build(config).double()).eval() for _ in range(2))
    adapter = vlpeft.attach(model, dict(type='PromptTuning', length=LENGTH), check_after=0)
    randomise(adapter.sets, seed=1)
    ids = torch.randint(3, 50, (2, 5), generator=torch.Generator().manual_seed(0))
    found = model(ids, torch.ones_like(ids))
    table = adapter.sets['default'].prompts['text'].table
    expected = read_by_clip(plain.text_model, table, ids, torch.ones_like(ids), True)
    torch.testing.assert_close(found, expected, **EXACT)


def test_blip_answers_with_a_prompt_as_a_pass_over_the_whole_answer_says():
    from vlpeft.models.backbones import CrossContext, SelfCache

    model = build_vqa(adapter=dict(type='PromptTuning', length=LENGTH, targets=dict(towers=['decoder'])))
    decoder = model.decoder
    ids = torch.randint(5, 20, (2, 5), generator=torch.Generator().manual_seed(0))
    tokens = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1)).double()
    context = CrossContext(decoder.bert.project_context(tokens))
    expected, cache = decoder(ids, torch.ones_like(ids), context), SelfCache()
    for end in range(1, 6):
        step = decoder(ids[:, end - 1 : end], torch.ones_like(ids[:, :end]), context, cache)
        torch.testing.assert_close(step[:, 0], expected[:, end - 1], **EXACT)


@pytest.mark.parametrize('name', [*CAUSAL, *SEQ2SEQ])
def test_the_table_can_start_from_words(name):
    torch.manual_seed(0)
    config = dict(type='PromptTuning', length=LENGTH, init='words')
    model = PLAIN[name].model()
    (unit,) = vlpeft.attach(model, config, check_after=0).sets['default'].prompts.values()
    words = model.get_input_embeddings().weight
    found = [int((words == row).all(1).nonzero()[0]) for row in unit.table.detach()]
    assert len(set(found)) > 1 and unit.table.requires_grad
    with pytest.raises(ValueError, match=r"init='words' is for a table alone, whose rows are words; leave out hidden"):
        vlpeft.attach(PLAIN[name].model(), dict(config, hidden=4))
    with pytest.raises(ValueError, match=r"PromptTuning: init='text'; choose from \('normal', 'words'\)"):
        vlpeft.attach(PLAIN[name].model(), dict(config, init='text'))


def test_blip_gets_its_words_as_embeddings():
    with pytest.raises(SiteError, match=r'init=\'words\', but tower "text" gets its words as embeddings'):
        build_retriever(adapter=dict(type='PromptTuning', init='words'))


@pytest.mark.parametrize('name', CAUSAL)
def test_beside_a_prefix_the_order_does_not_matter(name):
    prompt, prefix = dict(type='PromptTuning', length=LENGTH, positions=True), dict(type='PrefixTuning', length=2)
    first = vlpeft.attach(PLAIN[name].model(), [prompt, prefix], check_after=0)
    second = vlpeft.attach(PLAIN[name].model(), [prefix, prompt], check_after=0)
    randomise(first.sets, seed=1)
    for ours, theirs in zip(second.sets['default'].parts[::-1], first.sets['default'].parts):
        ours.load_state_dict(theirs.state_dict())
    batch = PLAIN[name].inputs(3)
    positions = (batch['attention_mask'].cumsum(1) - 1).clamp(min=0)
    for given in ({}, dict(position_ids=positions)):
        torch.testing.assert_close(first(**batch, **given).logits, second(**batch, **given).logits, **EXACT)
    options = dict(max_new_tokens=5, do_sample=False, pad_token_id=1, eos_token_id=None)
    answers = [
        adapter.generate(**PLAIN[name].prompts(2), **options, use_cache=cache)
        for adapter in (first, second)
        for cache in (True, False)
    ]
    assert all(torch.equal(answers[0], other) for other in answers[1:])


@pytest.mark.parametrize('visual_row', ['causal', 'full'])
@pytest.mark.parametrize('lm', LMS)
def test_it_fills_the_rows_of_the_perceptual_model_as_its_own_prompt_does(lm, visual_row):
    own = build(lm=lm, visual_row=visual_row)
    width = own.towers['lm'].entrance.width
    method = dict(EPALM, prompt_length=0)
    prompt = dict(type='PromptTuning', length=EPALM['prompt_length'], hidden=width)
    model = build(lm=lm, visual_row=visual_row, adapter=[method, prompt])
    model.lm.load_state_dict(own.lm.state_dict())
    model.adapter.parts[0].connector.load_state_dict(own.adapter.connector.state_dict())
    model.adapter.parts[1].prompts['lm'].load_state_dict(own.adapter.prompt.state_dict())
    tokens, vectors = perceptual_texts((4, 3, 2), left=True), random_vectors(own)
    torch.testing.assert_close(model.logits(vectors, tokens), own.logits(vectors, tokens), **EXACT)
    assert search(model, tokens, vectors, 3, True) == search(own, tokens, vectors, 3, True)
    assert model.role_of('adapter.parts.1.prompts.lm.table') == own.role_of('adapter.prompt.table')


def test_one_method_fills_the_rows_of_the_perceptual_model():
    with pytest.raises(
        ValueError, match=r'EPALM and PromptTuning would fill the same rows before the text; EPALM\(prompt'
    ):
        build_perceptual(adapter=[EPALM, dict(type='PromptTuning')])


@pytest.mark.parametrize(
    'name, options, message',
    [
        ('clip', dict(targets=dict(towers=['vision'])), r'PromptTuning: tower "vision" takes no embeddings of a text'),
        ('bart', dict(targets=dict(kinds=['ffn'])), r"acts on whole towers, but its targets name kinds \['ffn'\]"),
        ('bart', dict(targets=dict(towers=['text'])), r"unknown towers \['text'\]; there are \['encoder', 'decoder'\]"),
    ],
)
def test_what_cannot_be_is_refused(name, options, message):
    with pytest.raises(SiteError, match=message):
        attached(name, **options)


def test_sizes_are_checked():
    for options in (dict(length=0), dict(length=True), dict(length=2, hidden=0)):
        with pytest.raises(ValueError, match='it is an integer'):
            vlpeft.attach(PLAIN['opt'].model(), dict(type='PromptTuning', **options))


def test_calls_that_say_which_row_sees_which_are_refused():
    adapter, ids = attached('llama'), torch.tensor([[3, 4, 5]])
    mask = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    with pytest.raises(SiteError, match=r'takes an attention mask \(B, L\), not one of shape \(1, 1, 3, 3\)'):
        adapter(input_ids=ids, attention_mask=mask)
    with pytest.raises(SiteError, match='have no token_type_ids'):
        attached('gpt2')(input_ids=ids, token_type_ids=torch.zeros_like(ids))
    with pytest.raises(SiteError, match='takes past_key_values that are a cache object, not a tuple'):
        adapter(input_ids=ids, past_key_values=((torch.zeros(1),) * 2,))
    # A call that failed leaves nothing behind.
    expected = adapter(input_ids=ids).logits
    assert torch.equal(copy.deepcopy(adapter)(input_ids=ids).logits, expected)
