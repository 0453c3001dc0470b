"""Conversations with images and videos, in any of the layouts that people keep them in."""

import os
from collections import Counter
from collections.abc import Iterator

from vlpeft.chat import CHAT_KEYS, ChatError, check_turns, media_of, read_conversation, text_of, unread_keys

from ..registry import DATASETS
from .annotations import AnnotationError, locate
from .base_clips import BaseClips
from .own_clips import report_layouts
from .own_keys import OwnKeys
from .readers import ClipError
from .readers.urls import check_inline, is_inline, is_remote, short
from .records import field, read_records


@DATASETS.register_module()
class JSONLChat(BaseClips):
    """Conversations, each a sample: JSON lines or one JSON list, in the layouts of :mod:`vlpeft.chat.layouts`.

    Samples have ``turns`` (:mod:`vlpeft.chat.conversation`), ``images`` and ``videos``, the paths that the turns show
    in their order, ``sample_id`` (``id`` of the record, by default its number from 0), ``name`` and ``question``, the
    last text of the user. In training the last turn is the assistant's. In test mode the last answer is taken off the
    turns and is ``gold`` and ``references``, where there is one; ``question_id`` is ``sample_id``.

    Paths are relative to the media folder (``data_prefix=dict(media=…)``, by default ``data_root``, by default the
    folder of the file). Images may also stand in the file as ``data:`` URLs.

    Args:
        ann_file: Annotation file, relative to ``data_root`` or absolute.
        put_first: Whether media that no turn shows stand before the first question, where none of their kind has a
            placeholder. Defaults to False: another number of placeholders than of media is an error.
        download: Whether images may be http and https URLs, which the workers then fetch anew at every access. Defaults
            to False: they are refused.
        **kwargs: Arguments of :class:`BaseClips`.

    Raises:
        AnnotationError: As in :class:`BaseClips`; turns that are malformed or in another order; another number of
            placeholders than of media; sounds; in a test set ids that are not unique.
    """

    def __init__(self, ann_file: str, put_first: bool = False, download: bool = False, **kwargs) -> None:
        self.put_first, self.download = put_first, download
        super().__init__(ann_file, **kwargs)

    def load_samples(self) -> list[dict]:
        return [self._sample(*entry) for entry in self._read()]

    def _read(self) -> Iterator[tuple[str, int | str, list[dict], dict]]:
        """(place, id, turns, media by kind) of each record."""
        checked, layouts, places = OwnKeys(self.ann_file, CHAT_KEYS), Counter(), {}
        for number, (where, record) in enumerate(read_records(self.ann_file)):
            checked.check(where, record)
            record = {key: value for key, value in record.items() if value is not None}
            checked.unread.update(unread_keys(record))
            key = field(where, record, 'id', int, str) if 'id' in record else number
            if self.test_mode and (first := places.setdefault(key, where)) != where:
                raise AnnotationError(f'{where}: id {key!r} was already used at {first}')
            try:
                conversation = read_conversation(record)
                if conversation is None:
                    raise ChatError(
                        "expected 'messages', 'conversations', or 'query' and 'response'; keys found: "
                        f'{", ".join(record) or "none"}'
                    )
                turns, media = media_of(conversation, self.put_first)
                check_turns(turns)
            except ChatError as error:
                raise AnnotationError(f'{where}: {error}') from error
            if media['audio']:
                raise AnnotationError(f'{where}: it holds sounds, and no model of image and text hears')
            layouts[conversation.layout] += 1
            yield where, key, turns, media
        checked.report()
        report_layouts(self.ann_file, layouts)

    def _sample(self, where: str, key: int | str, turns: list[dict], media: dict[str, list[str]]) -> dict:
        images, videos = ([self._place(where, kind, path) for path in media[kind]] for kind in ('image', 'video'))
        names = [short(path) if is_inline(path) else path for path in (*media['image'], *media['video'])]
        sample = dict(sample_id=key, name=' '.join(map(os.path.normpath, names)), images=images, videos=videos)
        spoken = turns[-1]['role'] == 'assistant'
        if self.test_mode:
            known = [text_of(turns[-1])] if spoken else None
            turns = turns[:-1] if spoken else turns
            sample.update(question_id=key, **(dict(gold=known, references=known) if known else {}))
        elif not spoken:
            raise AnnotationError(f'{where}: the last turn is the question of a user; training needs an answer to it')
        asked = next(turn for turn in reversed(turns) if turn['role'] == 'user')
        return dict(sample, turns=turns, question=text_of(asked))

    def _place(self, where: str, kind: str, path: str) -> str:
        if is_inline(path) and kind == 'image':
            try:
                check_inline(path)
            except ClipError as error:
                raise AnnotationError(f'{where}: {error}') from error
            return path
        if is_remote(path) and kind == 'image' and self.download:
            return path
        folder = self.data_prefix['media']
        return locate(path, folder, (self.data_root, folder), where)
