"""Captioning of own data: one JSON object a line."""

from collections.abc import Iterator
from pathlib import Path

from ..registry import DATASETS
from .base_caption import BaseCaption
from .jsonl import read_captioned

KEYS = ('video', 'image', 'audio', 'caption', 'start', 'end')


@DATASETS.register_module()
class JSONLCaption(BaseCaption):
    """Own data to be described: JSON lines ``{"video", "image" or "audio": path, "caption": …}``.

    Lines are as :class:`JSONLRetrieval`'s, also of sounds, of which ``start`` and ``end`` restrict the range, too.
    ``sample_id`` is the path, with the range if there is one; ``name`` is the file's name without its suffix, by which
    stored features are found. Arguments and errors: :class:`BaseCaption`.
    """

    def load_captions(self) -> Iterator[tuple[str, dict, list[str]]]:
        for where, clip, captions in read_captioned(self.ann_file, self.data_prefix['media'], self.data_root, KEYS):
            yield where, dict(clip, sample_id=clip['name'], name=Path(clip['path']).stem), captions
