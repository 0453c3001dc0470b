"""Files with the released code's own list of keys, into real models and back."""

import re

import fabricated
import pytest
import released_uniadapter
import tiny_retriever
import torch
from fabricated import FRAMES, WIDTH, assert_same

from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.checkpoint.files import write_safetensors
from vlpeft.checkpoint.load import load_into
from vlpeft.checkpoint.tied import unique_state
from vlpeft.registry import MODELS

TABLE = 'text_encoder.encoder.time_embed'
DECODER_TABLE = 'text_decoder.bert.encoder.time_embed'
WORDS = 'text_decoder.bert.embeddings.word_embeddings.weight'
PROJECTION = 'text_decoder.cls.predictions.decoder.weight'
QUEUES = ('image_queue', 'text_queue', 'idx_queue', 'ptr_queue')


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def build_retriever(**changes):
    return MODELS.build(
        tiny_retriever.config(adapter=tiny_retriever.ADAPTER, **dict(dict(temporal_frames=FRAMES), **changes))
    )


def build_vqa(**changes):
    return MODELS.build(released_uniadapter.vqa_config(**changes))


def wrapped(weights, origin='checkpoint'):
    return Checkpoint.of(dict(model=weights, optimizer={}, config={}, epoch=5), origin)


def test_names_of_the_pairs_are_those_of_the_list():
    pairs = {**fabricated.base()['blip'], **fabricated.adapters()['released']}
    listed = {
        key
        for key in released_uniadapter.retrieval()
        if not key.endswith('position_ids')
        and not key.split('.')[0].endswith('_m')
        and key not in QUEUES
        and '.adapter.' not in key
        and 'encoder.adapters.' not in key
    }
    assert set(pairs) == listed
    decoder = {**fabricated.decoder()['blip'], **fabricated.decoder_adapters()['released']}
    assert {*decoder, DECODER_TABLE} == {
        key
        for key in released_uniadapter.vqa()
        if key.startswith('text_decoder.') and not key.endswith('position_ids') and '.adapter.' not in key
    }


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


@pytest.mark.parametrize('name', [WORDS, PROJECTION])
def test_one_name_of_the_tied_tensor_is_enough(name):
    model, weights = build_vqa(), released_uniadapter.vqa()
    table = weights.pop(name)
    report = load_into(model, wrapped(weights), strict_parts=('decoder',))
    assert report.missing == [] and report.unexpected == []
    assert torch.equal(model.decoder.bert.embeddings.word_embeddings.weight, table)
    assert model.decoder.cls['predictions'].decoder.weight is model.decoder.bert.embeddings.word_embeddings.weight


def test_tied_names_with_two_values_need_an_untied_model(tmp_path):
    weights = released_uniadapter.vqa()
    weights[PROJECTION] = weights[PROJECTION] + 1
    model = build_vqa()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    ours = [name.replace('text_decoder', 'decoder') for name in (WORDS, PROJECTION)]
    words, projection = map(re.escape, ours)
    with pytest.raises(
        CheckpointError,
        match=f'old.pth: {words} and {projection} are one tensor in the model, .* tie_word_embeddings=False keeps both',
    ):
        load_into(model, wrapped(weights, 'old.pth'))
    assert_same(model.state_dict(), before)
    untied = build_vqa(tied=False)
    assert load_into(untied, wrapped(weights)).missing == []
    assert torch.equal(untied.decoder.bert.embeddings.word_embeddings.weight, weights[WORDS])
    assert torch.equal(untied.decoder.cls['predictions'].decoder.weight, weights[PROJECTION])
    for layout in ('blip', 'uniadapter', 'mmpretrain'):
        with pytest.raises(CheckpointError, match=f'the {layout} layout has one tensor for .*word_embeddings'):
            get_dialect(layout).from_vlpeft(untied.state_dict())
    write_safetensors(untied.state_dict(), tmp_path / 'a.safetensors')
    again = build_vqa(tied=False)
    load_into(again, Checkpoint.read(tmp_path / 'a.safetensors'))
    assert_same(again.state_dict(), untied.state_dict())


def test_every_layout_of_blip_holds_the_tied_tensor_under_both_names():
    model = build_vqa(adapter=None, temporal_frames=None)
    for layout, prefix in (('blip', 'text_decoder'), ('mmpretrain', 'vqa_head.decoder')):
        written = get_dialect(layout).from_vlpeft(unique_state(model))
        weights = Checkpoint.of(written).weights
        names = [name.replace('text_decoder', prefix) for name in (WORDS, PROJECTION)]
        assert torch.equal(*(weights[name] for name in names))
        again = build_vqa(adapter=None, temporal_frames=None)
        report = load_into(again, Checkpoint.of(written))
        assert report.missing == [] and report.unexpected == []
        assert_same(again.state_dict(), model.state_dict())


def test_the_decoders_own_table_is_left_in_the_file():
    model, weights = build_vqa(), released_uniadapter.vqa()
    weights[DECODER_TABLE] = torch.randn(1, FRAMES, WIDTH)
    report = load_into(model, wrapped(weights))
    assert [DECODER_TABLE] in report.ignored.values() and report.unexpected == []
    assert torch.equal(model.temporal_embedding.table, weights[TABLE])


def test_a_table_that_the_model_has_no_place_for_is_reported():
    report = load_into(build_retriever(temporal_frames=None), wrapped(released_uniadapter.retrieval()))
    assert report.unexpected == ['temporal_embedding.table']
    assert (
        load_into(
            build_retriever(temporal_frames=None), wrapped(released_uniadapter.retrieval(temporal=False))
        ).unexpected
        == []
    )


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
    load_into(model, Checkpoint.of({**state, **kept}))
    copies = {f'momentum.{key}': value for key, value in model.momentum.named_buffers()}
    assert torch.equal(copies.pop(name), state[name.removeprefix('momentum.')])
    assert_same(copies, kept)
