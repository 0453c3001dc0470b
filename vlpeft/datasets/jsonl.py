"""Retrieval on own data: one JSON object a line."""

from collections.abc import Iterator

from ..registry import DATASETS
from .annotations import AnnotationError, read_jsonl
from .base_retrieval import BaseRetrieval
from .own_clips import is_text, read_clip

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
            clip = read_clip(where, record, folder, (self.data_root, folder), KEYS)
            for caption in _captions(where, record):
                yield clip, caption


def _captions(where: str, record: dict) -> list[str]:
    captions = record.get('caption')
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not captions or not all(map(is_text, captions)):
        raise AnnotationError(f"{where}: 'caption' must be a text or a list of texts, none of them empty")
    return captions
