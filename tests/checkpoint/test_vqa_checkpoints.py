"""UniAdapter's VQA checkpoints into a real model and back."""

import fabricated
import pytest
import tiny_retriever
import torch
from fabricated import DEPTH, HIDDEN, POSITIONS, VOCABULARY, WIDTH

from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.checkpoint.load import load_into
from vlpeft.registry import MODELS

TOWERS = ('visual_encoder.adapters.{}', 'visual_encoder.blocks.{}.adapter', 'text_encoder.encoder.layer.{}.adapter',
          'text_decoder.bert.encoder.layer.{}.adapter')


@pytest.fixture
def model():
    retriever = tiny_retriever.config()
    bert = dict(vocab_size=VOCABULARY, width=WIDTH, depth=DEPTH, heads=2, hidden=HIDDEN, context_width=WIDTH,
                max_positions=POSITIONS)
    return MODELS.build(dict(
        type='GenerativeVQA', vision=retriever['vision'], text=retriever['text'],
        decoder=dict(type='BlipTextDecoder', **bert), adapter=tiny_retriever.ADAPTER,
        temporal_frames=fabricated.FRAMES))


@pytest.fixture
def released():
    torch.manual_seed(0)
    towers = {key: value for key, value in fabricated.base()['blip'].items() if key.startswith(('visual', 'text_enc'))}
    weights = {**towers, **fabricated.decoder()['blip'], **fabricated.adapters()['released'],
               **fabricated.decoder_adapters()['released']}
    for text in ('text_encoder', 'text_decoder.bert'):
        weights[f'{text}.embeddings.position_ids'] = torch.arange(POSITIONS)[None]
    weights['text_decoder.bert.encoder.time_embed'] = weights['text_encoder.encoder.time_embed']
    return dict(model={**weights, **fabricated.released_aliases(weights, TOWERS)}, optimizer={}, config={}, epoch=9)


def test_nothing_is_missing_or_unexpected_and_saving_gives_the_same_file(model, released):
    report = load_into(model, released, strict_parts=('vision', 'text', 'decoder', 'adapter'))
    assert report.dialect == 'uniadapter' and report.missing == [] and report.unexpected == []
    dead = {key for reason, keys in report.ignored.items() if reason.startswith('dead') for key in keys}
    assert len(dead) == 12 * DEPTH and all(key.startswith('adapters_dec.') for key in dead)
    written = get_dialect('uniadapter').from_vlpeft(model.state_dict())['model']
    fabricated.assert_same(written, {key: value for key, value in released['model'].items() if key not in dead})


def test_the_bias_of_the_vocabulary_may_have_one_name_but_not_two_values(model, released):
    del released['model']['text_decoder.cls.predictions.decoder.bias']
    assert load_into(model, released).missing == []
    released['model']['text_decoder.cls.predictions.decoder.bias'] = torch.zeros(VOCABULARY)
    with pytest.raises(CheckpointError, match='names of one shared tensor disagree'):
        load_into(model, released)


def test_a_pretrained_base_leaves_its_retrieval_heads_in_the_file(model):
    base = {**fabricated.base()['blip'], **fabricated.decoder()['blip']}
    report = load_into(model, dict(model=base), strict_parts=('vision', 'text', 'decoder'))
    assert report.unexpected == [] and set(report.ignored) == {'the model has no itc_head', 'the model has no itm_head'}
