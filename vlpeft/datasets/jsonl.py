"""Retrieval on own data: JSON lines or one JSON list."""

from collections.abc import Iterator, Sequence

from ..registry import DATASETS
from .annotations import AnnotationError
from .base_retrieval import BaseRetrieval
from .own_clips import is_text, read_own

KEYS = ('video', 'image', 'caption', 'id', 'start', 'end')


@DATASETS.register_module()
class JSONLRetrieval(BaseRetrieval):
    """Retrieval on own data: objects ``{"video" or "image": path, "caption": str or list, "start", "end"}``.

    The file holds an object a line or one JSON list of them, or conversations (:mod:`.chat_records`), whose target is
    the caption; an ``id`` is allowed, other unknown keys are passed over with a line in the log. Paths are
    relative to the media folder (``data_prefix=dict(media=…)``, by default ``data_root``, by default the folder of the
    file). ``start`` and ``end``, in seconds, are optional and restrict a video. Objects with equal path and range are
    captions of the same clip. Arguments and errors: :class:`BaseRetrieval`.
    """

    def load_pairs(self) -> Iterator[tuple[dict, str]]:
        for _, clip, captions in read_captioned(self.ann_file, self.data_prefix['media'], self.data_root):
            for caption in captions:
                yield clip, caption


def read_captioned(
    path: str, folder: str, root: str, keys: Sequence[str] = KEYS, several: bool = False
) -> Iterator[tuple[str, dict, list[str]]]:
    """Clips with captions, record by record.

    Args:
        path: File as in :class:`JSONLRetrieval`.
        folder: Media folder.
        root: Data root, which a clip must not leave.
        keys: All keys that are read. Defaults to those of :class:`JSONLRetrieval`.
        several: Whether a record may show several images. Defaults to False.

    Yields:
        'file:line' for messages, clip (see :func:`read_clip`), captions.

    Raises:
        AnnotationError: The file is missing or a line is malformed.
    """
    for where, record, clip, chat in read_own(path, folder, root, keys, several):
        yield where, clip, captions_of(where, record) if chat is None else [chat.target]


def captions_of(where: str, record: dict) -> list[str]:
    """The texts under 'caption' of a record, one or a list.

    Raises:
        AnnotationError: There is none, or one is empty.
    """
    captions = record.get('caption')
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not captions or not all(map(is_text, captions)):
        raise AnnotationError(
            f"{where}: 'caption' must be a text or a list of texts, none of them empty; keys found: "
            f'{", ".join(record) or "none"}'
        )
    return captions
