"""Special tokens of a tokenizer: which there are, which end texts, and which no turn of a conversation may hold.

Tokenizers read them in any text: an answer with the end token of its template would be learned to end there, and a
question with an image token would be read as showing one more image.
"""

from collections.abc import Sequence
from typing import Any

from .conversation import ChatError


def special_tokens(tokenizer: Any) -> list[str]:
    """The texts that a tokenizer takes for special tokens."""
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return list(dict.fromkeys([*tokenizer.all_special_tokens, *added]))


def end_token(tokenizer: Any) -> str:
    """The token that ends a text.

    Raises:
        ChatError: The tokenizer has none.
    """
    if tokenizer.eos_token is None:
        raise ChatError('the tokenizer has no token that ends a text (eos_token), so no answer could end')
    return str(tokenizer.eos_token)


def check_texts(processor: Any, turns: Sequence[dict], rendered: Sequence[str]) -> None:
    """Refuse turns with a token by which conversations are built.

    These are the tokens that begin, end and pad texts, those that stand for media, and those that the template writes
    itself. Others, such as places in an image, are what a model may be asked for.

    Args:
        processor: Of transformers.
        turns: Of the conversation.
        rendered: What became of them; a token that is there more often than the turns say it is the template's.

    Raises:
        ChatError: A turn holds one.
    """
    texts = [''.join(part['text'] for part in turn['content'] if part['type'] == 'text') for turn in turns]
    for token in special_tokens(processor.tokenizer):
        said = [text.count(token) for text in texts]
        if any(said) and (token in _own(processor) or sum(text.count(token) for text in rendered) > sum(said)):
            number = next(number for number, count in enumerate(said) if count)
            raise ChatError(
                f'turn {number} ({turns[number]["role"]}) holds {token!r}, a special token of the tokenizer by which '
                'conversations are built: it would end or begin a turn or stand for an image; write it otherwise'
            )


def _own(processor: Any) -> set[str]:
    """Tokens of a text's ends and of media; processors name the latter by attributes of many kinds."""
    tokenizer = processor.tokenizer
    ends = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)
    media = [value for name, value in vars(processor).items() if name.endswith('_token')]
    ids = [value for name, value in vars(processor).items() if name.endswith('_token_id') and isinstance(value, int)]
    return {str(token) for token in (*ends, *media, *tokenizer.convert_ids_to_tokens(ids)) if token}
