"""Records of own data: ``{"video", "image" or "audio": path, "start", "end", …}``, whatever else they say."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import NamedTuple

from mmengine.logging import print_log

from vlpeft.chat import unread_keys

from .annotations import AnnotationError, locate
from .chat_records import Chat, chat_keys, read_chat
from .own_keys import OwnKeys
from .records import read_records

MEDIA = ('video', 'image', 'audio')


class OwnRecord(NamedTuple):
    """A record: its place 'file:line' for messages, what it says, its clip (:func:`read_clip`), its conversation."""

    where: str
    record: dict
    clip: dict
    chat: Chat | None


def read_own(path: str, folder: str, root: str, keys: Sequence[str], several: bool = False) -> Iterator[OwnRecord]:
    """Records of a file of own data; the log says in a line which keys are not read. A key that is null is absent.

    Args:
        path: JSON lines or one JSON list of objects with the keys below, or of conversations (:mod:`.chat_records`).
        folder: Media folder.
        root: Data root, which a clip must not leave.
        keys: All keys that are read, kinds of media included, in the order messages list them.
        several: Whether a record may show several images. Defaults to False.

    Raises:
        AnnotationError: The file is missing or a record is malformed.
    """
    checked, cut, layouts = OwnKeys(path, (*keys, *chat_keys(keys))), 0, Counter()
    for where, record in read_records(path):
        checked.check(where, record)
        # Tables written as JSON lines fill the columns that a record lacks.
        record = {key: value for key, value in record.items() if value is not None}
        checked.unread.update(unread_keys(record))
        record, chat = read_chat(where, record)
        if chat is not None:
            cut += chat.unread > 0
            layouts[chat.layout] += 1
        yield OwnRecord(where, record, read_clip(where, record, folder, (root, folder), keys, several), chat)
    checked.report()
    report_layouts(path, layouts)
    if cut:
        print_log(
            f'{path}: {cut:,} conversations have further turns; only the last one of the assistant and the '
            'question before it are read',
            logger='current',
            level=logging.INFO,
        )


def report_layouts(path: str, layouts: Counter) -> None:
    """One line in the log on the layouts of a file's conversations, if it has some."""
    if layouts:
        counts = ', '.join(
            f'{count:,} record{"" if count == 1 else "s"} in the {name} layout' for name, count in layouts.most_common()
        )
        print_log(f'{path}: {counts}', logger='current', level=logging.INFO)


def read_clip(
    where: str, record: dict, folder: str, roots: tuple[str, ...], keys: Sequence[str], several: bool = False
) -> dict:
    """The clip of a record.

    Args:
        where: 'file:line' for messages.
        record: With 'video', 'image' or 'audio', a path or a list of paths, and optionally 'start' and 'end', seconds
            of a video or a sound.
        folder: Media folder that the path is relative to.
        roots: Folders, one of which must hold the file.
        keys: Keys of the set; the kinds of media among them are those that it may show.
        several: Whether 'image' may list several. Defaults to False.

    Returns:
        ``name`` (the path, with the range as a media fragment if there is one), ``path``, ``media`` and, where given,
        ``start`` and ``end``; of several images ``names`` and ``paths`` in place of ``path``.

    Raises:
        AnnotationError: No path, or media of two kinds, or too many; an impossible range; or a path that
            :func:`locate` refuses.
    """
    kinds = [kind for kind in MEDIA if kind in record and kind in keys]
    paths = record[kinds[0]] if len(kinds) == 1 else None
    paths = paths if isinstance(paths, list) else [paths]
    if not paths or not all(map(is_text, paths)):
        *others, last = (f"'{kind}'" for kind in MEDIA if kind in keys)
        raise AnnotationError(
            f'{where}: expected one of {", ".join(others)} and {last} with a path; keys found: '
            f'{", ".join(record) or "none"}'
        )
    media = kinds[0]
    if len(paths) > 1 and not (several and media == 'image'):
        raise AnnotationError(f"{where}: '{media}' lists {len(paths)} files, a sample of this set shows one")
    _check_range(where, media, record.get('start'), record.get('end'))
    files = [locate(path, folder, roots, where) for path in paths]
    names = [_name(path, record) for path in paths]
    clip = dict(name=' '.join(names), media=media)
    clip.update(dict(path=files[0]) if len(files) == 1 else dict(names=names, paths=files))
    clip.update({key: record[key] for key in ('start', 'end') if key in record})
    return clip


def is_text(value) -> bool:
    """Whether ``value`` is a string that holds more than blanks."""
    return isinstance(value, str) and bool(value.strip())


def is_number(value) -> bool:
    """Whether ``value`` is a finite number; JSON also writes NaN, Infinity, and integers that no float holds."""
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _name(path: str, record: dict) -> str:
    """The path, with the range as a media fragment (``a.mp4#t=2,5``) if there is one."""
    path, start, end = os.path.normpath(path), record.get('start'), record.get('end')
    if start is None and end is None:
        return path
    return f'{path}#t={_seconds(start or 0)}{"" if end is None else f",{_seconds(end)}"}'


def _seconds(second: float) -> str:
    """All digits of a time: equal names are the same clip, and hours have many; 2 and 2.0 are the same."""
    return repr(int(second) if second == int(second) else second)


def _check_range(where: str, media: str, start, end) -> None:
    for key, second in (('start', start), ('end', end)):
        if second is None:
            continue
        if media == 'image':
            raise AnnotationError(f"{where}: '{key}' has no meaning for an image")
        if not is_number(second) or second < 0:
            raise AnnotationError(
                f"{where}: '{key}' must be seconds from the beginning of the {media}, got {second!r:.40}"
            )
    if end is not None and not (start or 0) < end:
        raise AnnotationError(f"{where}: empty range: 'start' {start or 0} must come before 'end' {end}")
