r"""Conversations as records of questions and captions: the last turn of the assistant is the target.

    {"id": 7, "image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\nWhat is it?"},
                                                  {"from": "gpt", "value": "A cat."}]}

The layouts are those of :mod:`vlpeft.chat.layouts`. The turn of the user before the target is the question; the
placeholders of media go.
"""

from collections.abc import Sequence
from typing import NamedTuple

from vlpeft.chat import TURN_KEYS, ChatError, read_conversation, text_of
from vlpeft.chat.layouts import SWIFT_KEYS

from .text_files import AnnotationError

MEDIA_LISTS = dict(images='image', videos='video', audios='audio')
REPLACED = ('question', 'answer', 'answers', 'caption')


def chat_keys(keys: Sequence[str]) -> list[str]:
    """Keys that are read beside ``keys``, the kinds of media of a set and others."""
    return [
        *dict.fromkeys((*TURN_KEYS[:2], *SWIFT_KEYS, 'system')),
        *(many for many, one in MEDIA_LISTS.items() if one in keys),
    ]


class Chat(NamedTuple):
    """A conversation: ``question``, '' where nobody asks, ``target``, how many of its turns are ``unread``, and the
    name of its ``layout``.
    """

    question: str
    target: str
    unread: int
    layout: str


def read_chat(where: str, record: dict) -> tuple[dict, Chat | None]:
    """A record under the keys of other records, and its conversation, if there is one.

    Args:
        where: 'file:line' for messages.
        record: See above; 'images', 'videos' and 'audios' become 'image', 'video' and 'audio'.

    Raises:
        AnnotationError: The turns are malformed, none is the assistant's, or the record says the same twice.
    """
    try:
        conversation = read_conversation(record)
    except ChatError as error:
        raise AnnotationError(f'{where}: {error}') from error
    record = dict(record)
    for many, one in MEDIA_LISTS.items():
        if many in record:
            if one in record:
                raise AnnotationError(f"{where}: '{one}' and '{many}' exclude each other")
            record[one] = record.pop(many)
    if conversation is None:
        return record, None
    kind = next(key for key in TURN_KEYS if key in record)
    twice = [key for key in REPLACED if key in record]
    if twice:
        raise AnnotationError(
            f"{where}: '{kind}' and '{twice[0]}' exclude each other: the last turn of the assistant "
            'is the answer or the caption'
        )
    turns = conversation.turns
    targets = [number for number, turn in enumerate(turns) if turn['role'] == 'assistant']
    if not targets or not text_of(turns[targets[-1]]):
        raise AnnotationError(
            f"{where}: '{kind}' needs a turn of the assistant ('gpt' or 'assistant') with a text; roles found: "
            f'{", ".join(_roles(record[kind]))}'
        )
    for turn in turns:
        for part in turn['content']:
            if 'source' in part:  # the medium stands in the turn itself
                record.setdefault(part['type'], []).append(part['source'])
    last = targets[-1]
    is_asked = last > 0 and turns[last - 1]['role'] == 'user'
    question = _lines(text_of(turns[last - 1])) if is_asked else ''
    unread = len(turns) - 1 - is_asked
    return record, Chat(question, _lines(text_of(turns[last])), unread, conversation.layout)


def _roles(turns: object) -> list[str]:
    return [turn.get('from', turn.get('role')) for turn in turns] if isinstance(turns, list) else ['user', 'assistant']


def _lines(text: str) -> str:
    """Without white space around each line."""
    return '\n'.join(line.strip() for line in text.split('\n')).strip()
