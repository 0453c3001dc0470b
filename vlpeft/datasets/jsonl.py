"""Retrieval on own data: one JSON object a line."""

from collections.abc import Iterator, Sequence

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
        for _, clip, captions in read_captioned(self.ann_file, self.data_prefix['media'], self.data_root):
            for caption in captions:
                yield clip, caption


def read_captioned(path: str, folder: str, root: str,
                   keys: Sequence[str] = KEYS) -> Iterator[tuple[str, dict, list[str]]]:
    """Clips with captions, line by line.

    Args:
        path (str): File of JSON lines as in :class:`JSONLRetrieval`.
        folder (str): Media folder.
        root (str): Data root, which a clip must not leave.
        keys (Sequence[str]): All keys that a line may have. Defaults to those of :class:`JSONLRetrieval`.

    Yields:
        tuple[str, dict, list[str]]: 'file:line' for messages, clip (see :func:`read_clip`), captions.

    Raises:
        AnnotationError: The file is missing or a line is malformed.
    """
    for where, record in read_jsonl(path):
        yield where, read_clip(where, record, folder, (root, folder), keys), captions_of(where, record)


def captions_of(where: str, record: dict) -> list[str]:
    """The texts under 'caption' of a record, one or a list.

    Raises:
        AnnotationError: There is none, or one is empty.
    """
    captions = record.get('caption')
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not captions or not all(map(is_text, captions)):
        raise AnnotationError(f"{where}: 'caption' must be a text or a list of texts, none of them empty")
    return captions
