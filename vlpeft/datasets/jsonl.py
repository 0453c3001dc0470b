"""Own data: one JSON object a line."""

import math
import os
from collections.abc import Iterator
from numbers import Real

from ..registry import DATASETS
from .annotations import AnnotationError, locate, read_jsonl
from .base_retrieval import BaseRetrieval

KEYS = ('video', 'image', 'caption', 'start', 'end')


@DATASETS.register_module()
class JSONLRetrieval(BaseRetrieval):
    """Retrieval on own data: JSON lines ``{"video" or "image": path, "caption": str or list, "start", "end"}``.

    Paths are relative to the media folder (``data_prefix=dict(media=…)``, by default ``data_root``, by default the
    folder of the file). ``start`` and ``end``, in seconds, are optional and restrict a video. Lines with equal path
    and range are captions of the same clip. Arguments and errors: :class:`BaseRetrieval`.
    """

    def load_pairs(self) -> Iterator[tuple[dict, str]]:
        folder = self.data_prefix['media']
        for where, record in read_jsonl(self.ann_file):
            media, captions = _check(where, record)
            path = locate(record[media], folder, (self.data_root, folder), where)
            clip = dict(name=_name(record, media), path=path, media=media)
            clip.update({key: record[key] for key in ('start', 'end') if record.get(key) is not None})
            for caption in captions:
                yield clip, caption


def _name(record: dict, media: str) -> str:
    """The path, with the range as a media fragment (``a.mp4#t=2,5``) if there is one."""
    path, start, end = os.path.normpath(record[media]), record.get('start'), record.get('end')
    if start is None and end is None:
        return path
    return f"{path}#t={start or 0:g}{'' if end is None else f',{end:g}'}"


def _check(where: str, record: dict) -> tuple[str, list[str]]:
    """Media kind and captions of a valid record."""
    unknown = [key for key in record if key not in KEYS]
    if unknown:
        raise AnnotationError(f"{where}: unknown key '{unknown[0]}'; valid: {', '.join(KEYS)}")
    kinds = [kind for kind in ('video', 'image') if kind in record]
    if len(kinds) != 1 or not _is_text(record[kinds[0]]):
        raise AnnotationError(f"{where}: expected one of 'video' and 'image' with a path")
    captions = record.get('caption')
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not captions or not all(map(_is_text, captions)):
        raise AnnotationError(f"{where}: 'caption' must be a text or a list of texts, none of them empty")
    _check_range(where, kinds[0], record.get('start'), record.get('end'))
    return kinds[0], captions


def _check_range(where: str, media: str, start, end) -> None:
    for key, second in (('start', start), ('end', end)):
        if second is None:
            continue
        if media == 'image':
            raise AnnotationError(f"{where}: '{key}' has no meaning for an image")
        if not isinstance(second, Real) or isinstance(second, bool) or not 0 <= second < math.inf:
            raise AnnotationError(f"{where}: '{key}' must be seconds from the beginning of the video, got {second!r}")
    if end is not None and not (start or 0) < end:
        raise AnnotationError(f"{where}: empty range: 'start' {start or 0} must come before 'end' {end}")


def _is_text(value) -> bool:
    return isinstance(value, str) and bool(value.strip())
