r"""Conversations as records: LLaVA's and ShareGPT's ``conversations``, and ``messages`` with ``images``.

    {"id": 7, "image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\nWhat is it?"},
                                                  {"from": "gpt", "value": "A cat."}]}
    {"messages": [{"role": "user", "content": "<image>What is it?"}, {"role": "assistant", "content": "A cat."}],
     "images": ["a.jpg"]}

The last turn of the assistant is the target and the turn of the user before it the question; placeholders of media go.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from .text_files import AnnotationError

TURNS = ('conversations', 'messages')
MEDIA_LISTS = dict(images='image', videos='video', audios='audio')
REPLACED = ('question', 'answer', 'answers', 'caption')
USER, ASSISTANT = ('human', 'user'), ('gpt', 'assistant', 'bot', 'chatgpt', 'model')
PLACEHOLDER = re.compile(r'<\|?(?:image|video|audio)(?:_pad)?\|?>|\[(?:IMG|VIDEO)\]', re.IGNORECASE)


def chat_keys(keys: Sequence[str]) -> list[str]:
    """Keys that are read beside ``keys``, the kinds of media of a set and others."""
    return [*TURNS, *(many for many, one in MEDIA_LISTS.items() if one in keys)]


class Chat(NamedTuple):
    """A conversation: ``question``, '' where nobody asks, ``target``, and how many of its turns are ``unread``."""

    question: str
    target: str
    unread: int


def read_chat(where: str, record: dict) -> tuple[dict, Chat | None]:
    """A record under the keys of other records, and its conversation, if there is one.

    Args:
        where: 'file:line' for messages.
        record: See above; 'images', 'videos' and 'audios' become 'image', 'video' and 'audio'.

    Raises:
        AnnotationError: The turns are malformed, none is the assistant's, or the record says the same twice.
    """
    record = dict(record)
    for many, one in MEDIA_LISTS.items():
        if many in record:
            if one in record:
                raise AnnotationError(f"{where}: '{one}' and '{many}' exclude each other")
            record[one] = record.pop(many)
    kind = next((kind for kind in TURNS if kind in record), None)
    if kind is None:
        return record, None
    twice = [key for key in (*TURNS, *REPLACED) if key in record and key != kind]
    if twice:
        raise AnnotationError(
            f"{where}: '{kind}' and '{twice[0]}' exclude each other: the last turn of the assistant "
            'is the answer or the caption'
        )
    turns = _turns(where, record, kind)
    targets = [number for number, (role, _) in enumerate(turns) if role in ASSISTANT]
    if not targets or not turns[targets[-1]][1]:
        raise AnnotationError(
            f"{where}: '{kind}' needs a turn of the assistant ({' or '.join(ASSISTANT)}) with a "
            f'text; roles found: {", ".join(role for role, _ in turns)}'
        )
    last = targets[-1]
    is_asked = last > 0 and turns[last - 1][0] in USER
    return record, Chat(turns[last - 1][1] if is_asked else '', turns[last][1], len(turns) - 1 - is_asked)


def _turns(where: str, record: dict, kind: str) -> list[tuple[str, str]]:
    """(role, text without placeholders) of each turn."""
    turns = record[kind]
    if not isinstance(turns, list) or not turns:
        raise AnnotationError(f"{where}: '{kind}' must be a list of turns, not empty")
    found = []
    for number, turn in enumerate(turns):
        place = f'{where}: {kind}[{number}]'
        if not isinstance(turn, dict):
            raise AnnotationError(f"{place}: expected an object with 'from' and 'value', or 'role' and 'content'")
        role, text = turn.get('from', turn.get('role')), turn.get('value', turn.get('content'))
        if isinstance(text, list):  # parts of kinds text, image, …
            text = '\n'.join(
                part['text'] for part in text if isinstance(part, dict) and isinstance(part.get('text'), str)
            )
        if not isinstance(role, str) or not isinstance(text, str):
            raise AnnotationError(
                f"{place}: needs 'from' and 'value', or 'role' and 'content', as texts; keys found: "
                f'{", ".join(turn) or "none"}'
            )
        # A placeholder on a line of its own takes the line along.
        lines = [PLACEHOLDER.sub('', line).strip() for line in text.split('\n')]
        found.append((role.lower(), '\n'.join(lines).strip()))
    return found
