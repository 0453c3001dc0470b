"""Records of own data: ``{"video", "image" or "audio": path, "start", "end", …}``, whatever else they say."""

import math
import os
from collections.abc import Sequence
from numbers import Real

from .annotations import AnnotationError, locate

MEDIA = ('video', 'image', 'audio')


def read_clip(where: str, record: dict, folder: str, roots: tuple[str, ...], keys: Sequence[str]) -> dict:
    """The clip of a record.

    Args:
        where (str): 'file:line' for messages.
        record (dict): With 'video', 'image' or 'audio', a path, and optionally 'start' and 'end', seconds of a video or
            a sound.
        folder (str): Media folder that the path is relative to.
        roots (tuple[str, ...]): Folders, one of which must hold the file.
        keys (Sequence[str]): All keys that the record may have, kinds of media included, in the order messages list
            them.

    Returns:
        dict: ``name`` (the path, with the range as a media fragment if there is one), ``path``, ``media`` and, where
        given, ``start`` and ``end``.

    Raises:
        AnnotationError: An unknown key, no path or two, an impossible range, or a path outside of ``roots``.
    """
    unknown = [key for key in record if key not in keys]
    if unknown:
        raise AnnotationError(f"{where}: unknown key '{unknown[0]}'; valid: {', '.join(keys)}")
    kinds = [kind for kind in MEDIA if kind in record]
    if len(kinds) != 1 or not is_text(record[kinds[0]]):
        *others, last = (f"'{kind}'" for kind in MEDIA if kind in keys)
        raise AnnotationError(f"{where}: expected one of {', '.join(others)} and {last} with a path")
    media = kinds[0]
    _check_range(where, media, record.get('start'), record.get('end'))
    clip = dict(name=_name(record, media), path=locate(record[media], folder, roots, where), media=media)
    clip.update({key: record[key] for key in ('start', 'end') if record.get(key) is not None})
    return clip


def is_text(value) -> bool:
    """Whether ``value`` is a string that holds more than blanks."""
    return isinstance(value, str) and bool(value.strip())


def _name(record: dict, media: str) -> str:
    """The path, with the range as a media fragment (``a.mp4#t=2,5``) if there is one."""
    path, start, end = os.path.normpath(record[media]), record.get('start'), record.get('end')
    if start is None and end is None:
        return path
    return f"{path}#t={start or 0:g}{'' if end is None else f',{end:g}'}"


def _check_range(where: str, media: str, start, end) -> None:
    for key, second in (('start', start), ('end', end)):
        if second is None:
            continue
        if media == 'image':
            raise AnnotationError(f"{where}: '{key}' has no meaning for an image")
        if not isinstance(second, Real) or isinstance(second, bool) or not 0 <= second < math.inf:
            raise AnnotationError(f"{where}: '{key}' must be seconds from the beginning of the {media}, got {second!r}")
    if end is not None and not (start or 0) < end:
        raise AnnotationError(f"{where}: empty range: 'start' {start or 0} must come before 'end' {end}")
