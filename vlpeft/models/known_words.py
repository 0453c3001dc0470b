"""Which words of a text a vocabulary knows."""

import string
import unicodedata
from collections.abc import Sequence
from typing import Any


def words_of(text: str) -> list[str]:
    """What stands between white space and punctuation, marks that cannot be seen included; an emoji is a word."""
    return ''.join(' ' if _parts(character) else character for character in text).split()


def _parts(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character)[0] in 'PZC'


def unknown_words(tokenizer: Any, words: Sequence[str]) -> list[str]:
    """Those of some words that a vocabulary does not know, each once.

    Such a word becomes the tokenizer's unknown token or, of word pieces, is spelt: its longest piece is a single
    character. A vocabulary of bytes knows all words.

    Args:
        tokenizer: Of transformers.
        words: As :func:`words_of` gives them.
    """
    if not words:
        return []
    rows = tokenizer(list(words), add_special_tokens=False, verbose=False)['input_ids']
    model = getattr(getattr(tokenizer, 'backend_tokenizer', None), 'model', None)
    is_pieces = type(model).__name__ == 'WordPiece'
    found = []
    for word, row in zip(words, rows):
        pieces = tokenizer.convert_ids_to_tokens(row)
        is_spelt = is_pieces and len(pieces) > 1 and all(len(piece.removeprefix('##')) == 1 for piece in pieces)
        if not row or tokenizer.unk_token_id in row or is_spelt:
            found.append(word)
    return list(dict.fromkeys(found))
