"""UniAdapter's VQA checkpoints into a real model and back."""

import fabricated
import pytest
import released_uniadapter
import torch
from fabricated import DEPTH, VOCABULARY

from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.dialects import get_dialect
from vlpeft.checkpoint.load import load_into
from vlpeft.registry import MODELS


@pytest.fixture
def model():
    return MODELS.build(released_uniadapter.vqa_config())


@pytest.fixture
def released():
    torch.manual_seed(0)
    return dict(model=released_uniadapter.vqa(), optimizer={}, config={}, epoch=9)


def test_nothing_is_missing_or_unexpected_and_saving_gives_the_same_file(model, released):
    report = load_into(
        model, Checkpoint.of(released), strict_parts=('vision', 'text', 'decoder', 'adapter', 'temporal_embedding')
    )
    assert report.dialect == 'uniadapter' and report.missing == [] and report.unexpected == []
    dead = {key for reason, keys in report.ignored.items() if reason.startswith('dead') for key in keys}
    assert len(dead) == 12 * DEPTH and all(key.startswith('adapters_dec.') for key in dead)
    written = get_dialect('uniadapter').from_vlpeft(model.state_dict())['model']
    table = released['model']['text_encoder.encoder.time_embed']
    assert torch.equal(model.temporal_embedding.table, table)
    fabricated.assert_same(written, {key: value for key, value in released['model'].items() if key not in dead})


def test_the_bias_of_the_vocabulary_may_have_one_name_but_not_two_values(model, released):
    del released['model']['text_decoder.cls.predictions.decoder.bias']
    assert load_into(model, Checkpoint.of(released)).missing == []
    released['model']['text_decoder.cls.predictions.decoder.bias'] = torch.zeros(VOCABULARY)
    with pytest.raises(CheckpointError, match='names of one shared tensor disagree'):
        load_into(model, Checkpoint.of(released))


def test_a_pretrained_base_leaves_its_retrieval_heads_in_the_file(model):
    base = {**fabricated.base()['blip'], **fabricated.decoder()['blip']}
    report = load_into(model, Checkpoint.of(dict(model=base)), strict_parts=('vision', 'text', 'decoder'))
    assert report.unexpected == [] and set(report.ignored) == {'the model has no itc_head', 'the model has no itm_head'}
