r"""The layouts in which people keep conversations, told apart by their keys.

* ms-swift: ``{"messages": [{"role", "content": "<image>…"}], "images": [path]}``, also ``query``, ``response`` and
  ``history`` in place of ``messages``
* LLaMA-Factory: ``{"conversations": [{"from": "human", "value": "<image>…"}], "images": [path]}``; its files with
  ``messages`` are as those of ms-swift
* LLaVA: ``{"id", "image": path, "conversations": [{"from": "human", "value": "<image>\n…"}]}``
* TRL: ``{"messages": [{"role", "content": [{"type": "image"}, {"type": "text", "text": …}]}], "images": [path]}``
* OpenAI: as TRL, with ``{"type": "image_url", "image_url": {"url": "data:…"}}``
"""

import re

from .conversation import KINDS, ChatError, Conversation

TURN_KEYS = ('conversations', 'messages', 'query')
SWIFT_KEYS = ('query', 'response', 'history')
#: All keys that are read.
CHAT_KEYS = (
    *('messages', 'conversations', *SWIFT_KEYS, 'system'),
    *('image', 'images', 'video', 'videos', 'audio', 'audios', 'id'),
)
ROLES = dict(
    human='user',
    user='user',
    **dict.fromkeys(('gpt', 'assistant', 'bot', 'chatgpt', 'model'), 'assistant'),
    system='system',
)
PLACEHOLDER = re.compile(
    r'(?:<\|vision_start\|>)?(?:<\|?(?P<kind>image|video|audio)(?:_pad)?\|?>|\[(?P<other>IMG|VIDEO)\])(?:<\|vision_end\|>)?',
    re.IGNORECASE,
)


def read_conversation(record: dict) -> Conversation | None:
    """The conversation of a record; None if it has none. Placeholders become parts, and what surrounds a text goes.

    A placeholder that has a line to itself takes the line along.

    Raises:
        ChatError: The turns are malformed, or the record says the same twice.
    """
    kinds = [key for key in TURN_KEYS if key in record and (key != 'query' or 'response' in record)]
    if not kinds:
        return None
    kind = kinds[0]
    if len(kinds) > 1:
        raise ChatError(f"'{kind}' and '{kinds[1]}' exclude each other")
    turns = _pairs(record) if kind == 'query' else record[kind]
    if not isinstance(turns, list) or not turns:
        raise ChatError(f"'{kind}' must be a list of turns, not empty")
    turns = [_turn(f'{kind}[{number}]', turn) for number, turn in enumerate(turns)]
    if record.get('system') is not None:
        if turns[0]['role'] == 'system':
            raise ChatError(f"'system' and a system turn in '{kind}' exclude each other")
        turns.insert(0, _turn('system', dict(role='system', content=record['system'])))
    return Conversation(turns, {name: _listed(record, name) for name in KINDS}, _layout(record, kind))


def unread_keys(record: dict) -> list[str]:
    """Keys of :data:`CHAT_KEYS` that say nothing in a record, because others hold its turns, or none do."""
    kind = next((key for key in TURN_KEYS if key in record and (key != 'query' or 'response' in record)), None)
    unread = () if kind == 'query' else SWIFT_KEYS if kind else (*SWIFT_KEYS, 'system')
    return [key for key in unread if key in record]


def _layout(record: dict, kind: str) -> str:
    if kind == 'conversations':
        return 'LLaVA' if any(name in record for name in KINDS) else 'LLaMA-Factory'
    contents = [turn.get('content') for turn in record[kind]] if kind == 'messages' else []
    parts = [part for content in contents if isinstance(content, list) for part in content]
    if any('_url' in str(part.get('type')) for part in parts):
        return 'OpenAI'
    return 'TRL' if parts else 'ms-swift'


def _pairs(record: dict) -> list[dict]:
    """Turns of ms-swift's ``query``, ``response`` and ``history``, a list of such pairs."""
    history = record.get('history') or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise ChatError("'history' must be a list of pairs [query, response]")
    pairs = [*history, (record['query'], record['response'])]
    return [dict(role=role, content=text) for pair in pairs for role, text in zip(('user', 'assistant'), pair)]


def _listed(record: dict, kind: str) -> list[str]:
    """Media beside the turns: a path, or a list of them, under ``image`` or ``images``."""
    many = f'{kind}s'
    if record.get(kind) is not None and record.get(many) is not None:
        raise ChatError(f"'{kind}' and '{many}' exclude each other")
    key = many if record.get(many) is not None else kind
    found = record.get(key)
    found = [] if found is None else found if isinstance(found, list) else [found]
    return [_source(f"'{key}'", kind, medium) for medium in found]


def _source(where: str, kind: str, medium: object) -> str:
    """The path or URL of a medium, also of an object with a single one, as Hugging Face's data sets write it."""
    if isinstance(medium, dict):
        medium = next((medium[key] for key in ('url', 'path') if medium.get(key) is not None), medium)
    if not isinstance(medium, str) or not medium.strip():
        raise ChatError(f'{where} must give the path of each {kind} as a text, got {str(medium)[:40]!r}')
    return medium


def _turn(place: str, turn: object) -> dict:
    if not isinstance(turn, dict):
        raise ChatError(f"{place}: expected an object with 'from' and 'value', or 'role' and 'content'")
    role, content = turn.get('from', turn.get('role')), turn.get('value', turn.get('content'))
    if not isinstance(role, str) or not isinstance(content, (str, list)):
        raise ChatError(
            f"{place}: needs 'from' and 'value', or 'role' and 'content', as texts; keys found: "
            f'{", ".join(turn) or "none"}'
        )
    if role.lower() not in ROLES:
        raise ChatError(f"{place}: there is no role '{role}'; roles are {', '.join(ROLES)}")
    calls = next((key for key in ('tool_calls', 'function_call') if turn.get(key)), None)
    if calls:
        raise ChatError(f"{place}: '{calls}' is not read; conversations hold texts, images and videos")
    parts = [content] if isinstance(content, str) else content
    found = dict(role=ROLES[role.lower()], content=_trimmed([new for part in parts for new in _parts(place, part)]))
    # What ms-swift calls loss is a weight in OpenAI's files.
    says = [turn[key] for key in ('loss', 'weight') if turn.get(key) is not None]
    if any(value not in (True, False, 0, 1) for value in says):
        raise ChatError(f"{place}: 'loss' (or 'weight') must be true or false (1 or 0), got {says[0]!r:.40}")
    return dict(found, loss=False) if says and not all(says) else found


def _parts(place: str, part: object) -> list[dict]:
    """Parts of a text, split at its placeholders, or the part that an object of a list stands for."""
    if isinstance(part, str):
        return _split(part)
    kind = part.get('type') if isinstance(part, dict) else None
    medium = kind.removesuffix('_url') if isinstance(kind, str) else None
    if kind == 'text' and isinstance(part.get('text'), str):
        return _split(part['text'])
    if medium not in KINDS:
        raise ChatError(
            f"{place}: a part must be {{'type': 'text', 'text': …}} or of type {', '.join(KINDS)}, image_url or "
            f'video_url, got {str(part)[:60]!r}'
        )
    source = next((part[key] for key in (kind, medium, 'url', 'path') if part.get(key) is not None), None)
    if source is None and kind != medium:
        raise ChatError(f"{place}: a part of type '{kind}' needs {{'{kind}': {{'url': …}}}}")
    return [dict(type=medium)] if source is None else [dict(type=medium, source=_source(place, medium, source))]


def _split(text: str) -> list[dict]:
    parts: list[dict] = []
    lines = text.split('\n')
    for number, line in enumerate(lines):
        at, found = 0, list(PLACEHOLDER.finditer(line))
        alone = found and not PLACEHOLDER.sub('', line).strip()
        for match in found:
            if not alone:
                _add(parts, line[at : match.start()])
            name = (match['kind'] or match['other']).lower()
            parts.append(dict(type='image' if name == 'img' else name))
            at = match.end()
        if not alone:
            _add(parts, line[at:] + '\n' * (number < len(lines) - 1))
    return parts


def _add(parts: list[dict], text: str) -> None:
    if parts and parts[-1]['type'] == 'text':
        parts[-1]['text'] += text
    elif text:
        parts.append(dict(type='text', text=text))


def _trimmed(parts: list[dict]) -> list[dict]:
    """Without white space before the first and after the last text, and without empty texts."""
    texts = [number for number, part in enumerate(parts) if part['type'] == 'text' and part['text'].strip()]
    kept = []
    for number, part in enumerate(parts):
        if part['type'] == 'text':
            if number not in texts and (not texts or not texts[0] < number < texts[-1]):
                continue
            text = part['text']
            text = text.lstrip() if number == texts[0] else text
            part = dict(type='text', text=text.rstrip() if number == texts[-1] else text)
        kept.append(part)
    return kept
