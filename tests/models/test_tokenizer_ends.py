"""Tokens that begin and end texts: what a base was trained with, against what a real tokenizer says."""

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tests.tiny_epalm import SPECIALS, VOCAB, build_perceptual, write_vocabulary
from tests.tiny_vl import VOCAB as VOCABS
from tests.tiny_vl import build_vl, write_tokenizer
from vlpeft.models.tokenizer import CausalTokenizer

ONE_TOKEN = "begins and ends a text with one token, '</s>'"
END = SPECIALS.index('</s>')


@pytest.fixture(scope='module')
def vocabulary(tmp_path_factory):
    """OPT's way: one token begins and ends a text."""
    return write_vocabulary(tmp_path_factory.mktemp('ends') / 'vocabulary')


def warnings(logged):
    return [record.getMessage() for record in logged if record.levelname == 'WARNING']


@pytest.mark.parametrize(
    'trained, expected',
    [
        # Trained so, one of several ends.
        (dict(bos_token_id=END, eos_token_id=END), []),
        (dict(bos_token_id=END, eos_token_id=[END]), []),
        # Nothing is known, or nothing of this vocabulary.
        ({}, [ONE_TOKEN]),
        (dict(bos_token_id=50256, eos_token_id=50256), [ONE_TOKEN]),
        (
            dict(bos_token_id=1, eos_token_id=[7, END]),
            [ONE_TOKEN, "begins a text with '</s>', token 2; the base was trained with token 1 (lm.bos_token_id)"],
        ),
        (
            dict(bos_token_id=None, eos_token_id=[7, 8]),
            [ONE_TOKEN, "ends a text with '</s>', token 2; the base was trained with token 7 or 8 (lm.eos_token_id)"],
        ),
        (
            dict(bos_token_id=7, eos_token_id=7),
            [
                "begins a text with '</s>', token 2; the base was trained with token 7 (lm.bos_token_id)",
                "ends a text with '</s>', token 2; the base was trained with token 7 (lm.eos_token_id)",
            ],
        ),
    ],
)
def test_what_the_base_was_trained_with(vocabulary, logged, trained, expected):
    tokenizer = CausalTokenizer(vocabulary, None, VOCAB, trained)
    tokenizer.prompts(['a'])
    tokenizer.prompts(['b'])
    found = warnings(logged)
    assert len(found) == len(expected), found
    for warning, part in zip(found, expected):
        assert repr(vocabulary) in warning and part in warning


@pytest.mark.parametrize('lm, count', [('opt', 0), ('llama', 2)])
def test_a_model_knows_its_ends(vocabulary, logged, lm, count):
    model = build_perceptual(lm=lm, vocabulary=vocabulary)
    assert (model.lm.config.bos_token_id, model.lm.config.eos_token_id) == ((2, 2) if lm == 'opt' else (1, 2))
    assert not warnings(logged)
    model.prompts(['a'], 'cpu')
    assert len(warnings(logged)) == count


@pytest.mark.parametrize('family', ['bart', 't5'])
def test_encoder_decoders_know_theirs(tmp_path, logged, family):
    vocabulary = write_tokenizer(tmp_path / family, family)
    build_vl(family, vocabulary).tokens(['a'], None, 'cpu')
    assert not warnings(logged)
    model = build_vl(family, vocabulary, lm=dict(build_vl(family).lm.config.to_diff_dict(), eos_token_id=9))
    model.tokens(['a'], None, 'cpu')
    (warning,) = warnings(logged)
    assert 'ends a text with' in warning and 'trained with token 9 (lm.eos_token_id)' in warning
    assert VOCABS[family] == len(model.tokenizer.tokenizer)


@pytest.mark.parametrize(
    'kept, lacking',
    [
        (dict(eos_token='</s>'), 'no bos_token$'),
        (dict(bos_token='<s>'), 'no eos_token$'),
        ({}, 'no bos_token and no eos_token'),
    ],
)
def test_a_tokenizer_without_ends_is_refused(tmp_path, kept, lacking):
    bare = Tokenizer(models.WordLevel({'<s>': 0, '</s>': 1, '?': 2}, unk_token='?'))
    PreTrainedTokenizerFast(tokenizer_object=bare, **kept).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=lacking):
        CausalTokenizer(str(tmp_path), None, VOCAB).prompts(['a'])


def test_a_text_begins_as_the_base_was_trained_where_the_tokenizer_does_not_say(tmp_path, logged):
    """Qwen's has no begin token; its models begin a document with the token that ends one."""
    bare = Tokenizer(models.WordLevel({'<s>': 0, '</s>': 1, '?': 2}, unk_token='?'))
    PreTrainedTokenizerFast(tokenizer_object=bare, eos_token='</s>').save_pretrained(tmp_path)
    tokenizer = CausalTokenizer(str(tmp_path), None, VOCAB, dict(bos_token_id=1, eos_token_id=1))
    assert tokenizer.prompts(['?', '']) == [[1, 2], [1]] and tokenizer.targets(['?']) == [[2, 1]]
    assert not warnings(logged)
    with pytest.raises(ValueError, match='no bos_token$'):
        CausalTokenizer(str(tmp_path), None, VOCAB, dict(bos_token_id=VOCAB + 1)).prompts(['?'])
