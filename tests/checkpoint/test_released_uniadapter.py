"""Files with the released code's own list of keys, into real models and back."""

import fabricated
import pytest
import released_uniadapter
import tiny_retriever
import torch
from fabricated import DEPTH, FRAMES, HIDDEN, POSITIONS, VOCABULARY, WIDTH, assert_same

from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.checkpoint.load import load_into
from vlpeft.registry import MODELS

TABLE = 'text_encoder.encoder.time_embed'
DECODER_TABLE = 'text_decoder.bert.encoder.time_embed'
QUEUES = ('image_queue', 'text_queue', 'idx_queue', 'ptr_queue')


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def build_retriever(**changes):
    return MODELS.build(tiny_retriever.config(
        adapter=tiny_retriever.ADAPTER, **dict(dict(temporal_frames=FRAMES), **changes)))


def build_vqa(**changes):
    retriever = tiny_retriever.config()
    bert = dict(vocab_size=VOCABULARY, width=WIDTH, depth=DEPTH, heads=2, hidden=HIDDEN, context_width=WIDTH,
                max_positions=POSITIONS)
    return MODELS.build(dict(
        dict(type='GenerativeVQA', vision=retriever['vision'], text=retriever['text'],
             decoder=dict(type='BlipTextDecoder', **bert), adapter=tiny_retriever.ADAPTER, temporal_frames=FRAMES),
        **changes))


def wrapped(weights):
    return dict(model=weights, optimizer={}, config={}, epoch=5)


def test_names_of_the_pairs_are_those_of_the_list():
    pairs = {**fabricated.base()['blip'], **fabricated.adapters()['released']}
    listed = {key for key in released_uniadapter.retrieval() if not key.endswith('position_ids')
              and not key.split('.')[0].endswith('_m') and key not in QUEUES
              and '.adapter.' not in key and 'encoder.adapters.' not in key}
    assert set(pairs) == listed
    decoder = {**fabricated.decoder()['blip'], **fabricated.decoder_adapters()['released']}
    assert {*decoder, DECODER_TABLE} == {
        key for key in released_uniadapter.vqa() if key.startswith('text_decoder.')
        and not key.endswith('position_ids') and '.adapter.' not in key}


def test_a_retriever_takes_every_tensor_and_writes_the_same_file():
    model, weights = build_retriever(), released_uniadapter.retrieval()
    report = load_into(model, wrapped(weights), strict_parts=('vision', 'text', 'adapter', 'temporal_embedding'))
    assert report.dialect == 'uniadapter' and report.unexpected == []
    assert {key.split('.')[0] for key in report.missing} == {'momentum', 'queue'}
    assert torch.equal(model.temporal_embedding.table, weights[TABLE])
    assert torch.equal(dict(model.momentum.named_buffers())['temporal_embedding.table'], weights[TABLE])
    written = get_dialect('uniadapter').from_vlpeft(model.state_dict())['model']
    assert torch.equal(written['text_encoder_m.encoder.time_embed'], weights[TABLE])
    assert_same(written, {key: value for key, value in weights.items() if key not in QUEUES})


def test_a_question_answerer_takes_every_tensor_and_writes_the_same_file():
    model, weights = build_vqa(), released_uniadapter.vqa()
    report = load_into(model, wrapped(weights), strict_parts=('vision', 'text', 'decoder', 'adapter',
                                                              'temporal_embedding'))
    assert report.dialect == 'uniadapter' and report.missing == [] and report.unexpected == []
    assert torch.equal(model.temporal_embedding.table, weights[TABLE])
    written = get_dialect('uniadapter').from_vlpeft(model.state_dict())['model']
    assert_same(written, {key: value for key, value in weights.items() if not key.startswith('adapters_dec.')})


def test_the_decoders_own_table_is_left_in_the_file():
    model, weights = build_vqa(), released_uniadapter.vqa()
    weights[DECODER_TABLE] = torch.randn(1, FRAMES, WIDTH)
    report = load_into(model, wrapped(weights))
    assert [DECODER_TABLE] in report.ignored.values() and report.unexpected == []
    assert torch.equal(model.temporal_embedding.table, weights[TABLE])


def test_a_table_that_the_model_has_no_place_for_is_reported():
    report = load_into(build_retriever(temporal_frames=None), wrapped(released_uniadapter.retrieval()))
    assert report.unexpected == ['temporal_embedding.table']
    assert load_into(build_retriever(temporal_frames=None),
                     wrapped(released_uniadapter.retrieval(temporal=False))).unexpected == []


def test_momentum_copies_start_from_what_was_loaded():
    model = build_retriever()
    load_into(model, wrapped(released_uniadapter.retrieval()))
    copies, weights = dict(model.momentum.named_buffers()), dict(model.named_parameters())
    assert set(copies) == model.declared and len(copies) > 36
    for name, value in copies.items():
        assert torch.equal(value, weights[name]), name


def test_momentum_copies_of_a_file_stay():
    model = build_retriever()
    kept = {f'momentum.{name}': torch.randn_like(value) for name, value in model.momentum.named_buffers()}
    name = 'momentum.adapter.layers.0.down.bias'
    kept.pop(name)
    state = {key: torch.randn_like(value) for key, value in model.named_parameters()}
    load_into(model, {**state, **kept})
    copies = {f'momentum.{key}': value for key, value in model.momentum.named_buffers()}
    assert torch.equal(copies.pop(name), state[name.removeprefix('momentum.')])
    assert_same(copies, kept)
