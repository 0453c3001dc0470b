"""A conversation as data: turns of parts, and the media that they show.

A turn is ``dict(role='system' | 'user' | 'assistant', content=[part, …])``, and a part is ``dict(type='text', text=…)``
or ``dict(type='image')``, likewise 'video' and 'audio'. An answer with ``loss=False`` is read, but not trained on.
"""

from collections.abc import Sequence
from typing import NamedTuple

KINDS = ('image', 'video', 'audio')


class ChatError(ValueError):
    """A conversation that cannot be read, rendered or encoded; the message does not say which file it is from."""


class Conversation(NamedTuple):
    """What a record says.

    Attributes:
        turns: As above; a medium that stands in the turn itself is under ``source`` of its part.
        listed: Media beside the turns, by kind; a part without a source shows the next one of its kind.
        layout: Name of the layout that the record is written in.
    """

    turns: list[dict]
    listed: dict[str, list[str]]
    layout: str


def text_of(turn: dict) -> str:
    """The text of a turn without its media; parts that touch are set apart by a line break."""
    said = ''
    for part in turn['content']:
        if part['type'] == 'text':
            touches = said and not said[-1].isspace() and not part['text'][:1].isspace()
            said += '\n' * bool(touches) + part['text']
    return said.strip()


def media_of(conversation: Conversation, put_first: bool = False) -> tuple[list[dict], dict[str, list[str]]]:
    """Turns without sources, and the media by kind in the order in which the turns show them.

    Args:
        conversation: As a record says it.
        put_first: Whether listed media, of a kind that no turn shows, stand before the first question. Defaults to
            False.

    Raises:
        ChatError: The turns show another number of media than are listed.
    """
    turns = [dict(turn, content=list(turn['content'])) for turn in conversation.turns]
    for kind in KINDS:
        listed = conversation.listed.get(kind, [])
        written = sum(part['type'] == kind and 'source' not in part for turn in turns for part in turn['content'])
        asking = next((turn for turn in turns if turn['role'] == 'user'), None)
        if put_first and listed and not written and asking is not None:
            asking['content'] = [dict(type=kind) for _ in listed] + asking['content']
        elif written != len(listed):
            raise ChatError(
                f'the turns have {_count(written, "placeholder")} for {kind}s and the record lists '
                f'{_count(len(listed), kind)}; each <{kind}> shows one of them'
            )
    media, waiting = {kind: [] for kind in KINDS}, {kind: iter(conversation.listed.get(kind, ())) for kind in KINDS}
    for turn in turns:
        for part in turn['content']:
            if part['type'] != 'text':
                media[part['type']].append(part['source'] if 'source' in part else next(waiting[part['type']]))
        turn['content'] = [{key: value for key, value in part.items() if key != 'source'} for part in turn['content']]
    return turns, media


def check_turns(turns: Sequence[dict]) -> None:
    """Whether a model can be asked: an optional system text, then user and assistant in turn, the user first.

    Raises:
        ChatError: Another order; a turn that says nothing; an answer or a system text that shows media.
    """
    roles = [turn['role'] for turn in turns]
    begin = int(roles[:1] == ['system'])
    wanted = ['user', 'assistant'] * len(roles)
    if roles[begin:] != wanted[: len(roles) - begin] or len(roles) == begin:
        raise ChatError(
            'the user and the assistant must speak in turn, the user first, after at most one system text; the order '
            f'is {", ".join(roles) or "empty"}'
        )
    for number, turn in enumerate(turns):
        shown = {part['type'] for part in turn['content']}
        if not shown or turn['role'] != 'user' and not text_of(turn):
            raise ChatError(f'turn {number} ({turn["role"]}) says nothing')
        if turn['role'] != 'user' and shown != {'text'}:
            raise ChatError(f'turn {number} ({turn["role"]}) shows media, which only turns of the user can')


def _count(number: int, what: str) -> str:
    return f'{number} {what}{"" if number == 1 else "s"}'
