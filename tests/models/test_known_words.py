"""Words of queries, against real tokenizers of each kind."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.siglip import write_siglip_vocabulary
from tests.tiny import write_vocabulary
from vlpeft.models.known_words import unknown_words, words_of
from vlpeft.models.tokenizer import CaptionTokenizer, SiglipTokenizer
from vlpeft.zoo.folder import zoo_root

QUICKSTART = zoo_root() / 'configs/quickstart/blip_tiny'


@pytest.mark.parametrize(
    'text, words',
    [
        ('a red-hot dog', ['a', 'red', 'hot', 'dog']),
        (" don't\t[SEP]\n", ['don', 't', 'SEP']),
        ('?! … — \u200b', []),
        ('☃ 猫', ['☃', '猫']),
        ('cafe\u0301', ['cafe\u0301']),
        ('', []),
    ],
)
def test_words_of_a_text(text, words):
    assert words_of(text) == words


def test_of_word_pieces_the_unknown_and_the_spelt(tmp_path):
    tokenizer = CaptionTokenizer(write_vocabulary(tmp_path), 30, 23)
    assert tokenizer.unknown_words(['a', 'red', 'dinosaur', 'Circle', 'dinosaur', '☃']) == ['dinosaur', '☃']
    assert tokenizer.unknown_words([]) == []
    spelling = CaptionTokenizer(str(QUICKSTART), None, 256)
    assert spelling.tokenizer.tokenize('dinosaur') == ['d', *(f'##{letter}' for letter in 'inosaur')]
    assert spelling.unknown_words(['a', 'x', 'red', 'dinosaur', 'é☃']) == ['dinosaur', 'é☃']


def test_siglip_reads_lower_case(tmp_path):
    tokenizer = SiglipTokenizer(write_siglip_vocabulary(tmp_path), 8, 64)
    assert tokenizer.unknown_words(['RED', 'red', 'Zebra']) == ['zebra']


def test_a_vocabulary_of_bytes_knows_all():
    alphabet = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    # As CLIP's: the token for what is unknown is there, and stands for another thing.
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token='<|end|>', eos_token='<|end|>')
    assert unknown_words(tokenizer, ['dinosaur', '☃', 'é', '猫']) == []
