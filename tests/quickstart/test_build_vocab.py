"""The vocabulary as the model loads it."""

import json

import pytest
from mmpretrain.models.utils.tokenizer import BlipTokenizer
from quickstart_tools import run_process, run_tool

from vlpeft.models.tokenizer import CaptionTokenizer


def all_captions(root):
    return [
        text
        for file in root.glob('*/*.jsonl')
        for line in file.read_text().splitlines()
        for text in json.loads(line)['caption']
    ]


@pytest.fixture(scope='module')
def tokenizer(quickstart_data):
    done = run_process('build_vocab.py', quickstart_data / 'vocab', *quickstart_data.glob('*/*.jsonl'))
    assert done.returncode == 0 and 'text.vocab_size of the model is 256' in done.stdout, done.stderr
    return BlipTokenizer.from_pretrained(str(quickstart_data / 'vocab'))


def test_ids_of_special_tokens(tokenizer):
    assert tokenizer.convert_tokens_to_ids(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '[DEC]', '[ENC]']) == [
        0,
        1,
        2,
        3,
        4,
        254,
        255,
    ]
    assert len(tokenizer) == 256 and tokenizer.pad_token_id == 0


def test_every_word_is_one_token_and_comes_back(tokenizer, quickstart_data):
    for text in all_captions(quickstart_data):
        ids = tokenizer(text)['input_ids']
        assert len(ids) == len(text.split()) + 2 and tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_bases_own_vocabulary_has_every_word_too(quickstart_data):
    shipped = CaptionTokenizer('blip_tiny', 35, 256)
    for text in all_captions(quickstart_data):
        (ids,) = shipped.ids([text])
        assert len(ids) == len(text.split()) + 2 and shipped.tokenizer.unk_token_id not in ids


def test_other_words_are_spelt(tokenizer):
    assert tokenizer.tokenize('Zebra 7') == ['z', '##e', '##b', '##r', '##a', '7']


def test_captions_may_be_texts_and_the_file_a_list(tmp_path):
    """A text was read as its letters."""
    (tmp_path / 'own.json').write_text(json.dumps([dict(image='a', caption='zebra'), dict(image='b', caption=['yak'])]))
    done = run_tool('build_vocab.py', tmp_path, tmp_path / 'own.json')
    assert done.returncode == 0, done.stderr
    assert {'zebra', 'yak'} <= set((tmp_path / 'vocab.txt').read_text().split())


def test_too_many_words(quickstart_data, tmp_path):
    done = run_tool('build_vocab.py', tmp_path, quickstart_data / 'clips/train.jsonl', '--size', 120)
    assert done.returncode != 0 and '--size is 120' in done.stderr
