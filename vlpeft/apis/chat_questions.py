"""What a chat model is asked, as conversations: from files and a text, or from records of any layout."""

from collections.abc import Sequence
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

from vlpeft.chat import TURN_KEYS, ChatError, Conversation, check_turns, media_of, read_conversation, text_of
from vlpeft.chat.layouts import PLACEHOLDER
from vlpeft.datasets.readers.urls import is_inline, is_remote, short

from .media_files import MEDIA, PathLike
from .texts import check_readable

#: One question's files: none, a path, or several in a tuple or list.
Files = None | PathLike | Sequence[PathLike]


class Asked(NamedTuple):
    """A conversation that waits for an answer.

    Attributes:
        turns: As :mod:`vlpeft.chat.conversation` has them, the last one the user's.
        images: Paths or ``data:`` URLs that the turns show, in their order.
        videos: Likewise.
    """

    turns: list[dict]
    images: list[str]
    videos: list[str]

    @property
    def text(self) -> str:
        """The last text of the user."""
        return text_of(self.turns[-1])

    @property
    def files(self) -> tuple[str, ...]:
        """All that the turns show."""
        return (*self.images, *self.videos)

    def sample(self) -> dict[str, Any]:
        """As steps of a pipeline take it."""
        name = ' '.join(map(short, self.files)) or repr(self.text[:60])
        return dict(turns=self.turns, images=self.images, videos=self.videos, name=name, question=self.text)

    def then(self, answer: str, asked: 'Asked') -> 'Asked':
        """The conversation with an answer and a further question."""
        said = dict(role='assistant', content=[dict(type='text', text=answer)])
        return Asked([*self.turns, said, *asked.turns], self.images + asked.images, self.videos + asked.videos)


class Request:
    """How a config's data ask: the text around a question, and the system's.

    Args:
        template: ``str.format`` text with the field ``{question}`` or none. Defaults to None: the user's text alone.
        system: Text before all turns. Defaults to None.

    Raises:
        ValueError: The template has another field.
    """

    def __init__(self, template: str | None = None, system: str | None = None) -> None:
        self.template, self.system = template, system
        self.fields = {name for _, name, _, _ in Formatter().parse(template or '') if name is not None}
        if more := sorted(self.fields - {'question'}):
            raise ValueError(f'the config asks {template!r}, whose field {{{more[0]}}} only its data have')

    def asked(self, files: Files, text: str | None, is_first: bool = True) -> Asked:
        """A question about files, which stand before the text unless it has a placeholder for each.

        Args:
            files: Of images and videos, by their suffixes; images may be ``data:`` URLs.
            text: What the user says. None where the config's data ask the same of every file.
            is_first: Whether the system's text comes before it. Defaults to True.

        Raises:
            ValueError: The text is blank or missing, a file is neither an image nor a video, or there are another
                number of files than of placeholders.
            TypeError: The text is no text, or a file no path.
        """
        paths = [str(path) for path in files_of(files)]
        kinds = [kind_of(path) for path in paths]
        said = self._said(text)
        media = {kind: [path for own, path in zip(kinds, paths) if own == kind] for kind in ('image', 'video')}
        if self.template is None and PLACEHOLDER.search(said):
            record = dict(messages=[dict(role='user', content=said)], images=media['image'], videos=media['video'])
            turns, media = _read(record)
        else:
            parts = [*(dict(type=kind) for kind in kinds), dict(type='text', text=said)]
            turns = [dict(role='user', content=parts)]
        if self.system is not None and is_first:
            turns.insert(0, dict(role='system', content=[dict(type='text', text=self.system)]))
        return Asked(turns, media['image'], media['video'])

    def _said(self, text: str | None) -> str:
        if text is None and self.template is not None and not self.fields:
            return self.template
        if not isinstance(text, str):
            raise TypeError(f'a question is a text, not {text!r}')
        if not text.strip():
            raise ValueError(f'the text {text!r} is blank; say what you ask')
        check_readable(text, 'the text')
        return self.template.format(question=text) if self.fields else text.strip()


def files_of(files: Files) -> tuple[PathLike, ...]:
    """The paths of one question.

    Raises:
        TypeError: One is no path.
    """
    paths = () if files is None else (files,) if isinstance(files, str | Path) else files
    if not isinstance(paths, tuple | list) or not all(isinstance(path, str | Path) for path in paths):
        raise TypeError(f'files are paths, not {files!r:.80}')
    return tuple(paths)


def kind_of(path: str) -> str:
    """'image' or 'video'.

    Raises:
        ValueError: It is neither by its suffix, or an address of the network.
    """
    if is_inline(path):
        return 'image'
    if is_remote(path):
        raise ValueError(f'{path}: nothing is fetched from the network; save the file and name its path')
    kind = MEDIA.get(Path(path).suffix.lower())
    if kind is None:
        raise ValueError(f'{path}: neither a video nor an image by its suffix; known: {", ".join(MEDIA)}')
    return kind


def is_conversation(value: Any) -> bool:
    """Whether a value is a conversation rather than files: a record, or a list of turns."""
    if isinstance(value, dict):
        return True
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and _is_turn(turn) for turn in value)


def _is_turn(value: dict) -> bool:
    return ('role' in value or 'from' in value) and not value.keys() & set(TURN_KEYS)


def conversation(value: dict | list) -> Asked:
    """A record of any of :mod:`vlpeft.chat.layouts`, or a list of turns.

    Raises:
        ChatError: It is malformed, in another order, or ends with an answer.
        ValueError: A file is neither an image nor a video, or an address of the network.
    """
    turns, media = _read(value if isinstance(value, dict) else dict(messages=value))
    check_turns(turns)
    if turns[-1]['role'] != 'user':
        raise ChatError('the last turn is an answer of the assistant; end with the question that is to be answered')
    return Asked(turns, media['image'], media['video'])


def _read(record: dict) -> tuple[list[dict], dict[str, list[str]]]:
    found: Conversation | None = read_conversation(record)
    if found is None:
        raise ChatError(f'a conversation has one of {", ".join(TURN_KEYS)}; keys found: {", ".join(map(str, record))}')
    turns, media = media_of(found)
    if media['audio']:
        raise ChatError('the conversation holds sounds, and no model of image and text hears')
    if remote := [path for path in (*media['image'], *media['video']) if is_remote(path)]:
        kind_of(remote[0])
    return turns, media


def pairs(files: Any, text: Any) -> tuple[list[tuple[Files, str | None]], bool]:
    """Files and texts of several questions, and whether there is only one, which was given without a list.

    A list of files has an entry for each question, of which one with several files is a tuple or a list; one entry goes
    with many texts, and one text with many entries.

    Raises:
        ValueError: Lists of different lengths, or empty ones.
    """
    if not isinstance(files, list) and not isinstance(text, list):
        return [(files, text)], True
    many, texts = (value if isinstance(value, list) else [value] for value in (files, text))
    if not many or not texts:
        raise ValueError(f'an empty list of {"texts" if many else "files"} asks nothing')
    count = max(len(many), len(texts))
    if {len(many), len(texts)} - {1, count}:
        raise ValueError(
            f'{len(many)} files and {len(texts)} texts; give as many of both, or one of either. Several files of one '
            'question are a tuple'
        )
    return list(zip(many * (count // len(many)), texts * (count // len(texts)))), False
