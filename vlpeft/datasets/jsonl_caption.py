"""Captioning of own data: JSON lines or one JSON list."""

from collections.abc import Iterator
from pathlib import Path

from ..registry import DATASETS
from .base_caption import BaseCaption
from .jsonl import read_captioned

KEYS = ('video', 'image', 'audio', 'caption', 'id', 'start', 'end')


@DATASETS.register_module()
class JSONLCaption(BaseCaption):
    """Own data to be described: objects ``{"video", "image" or "audio": path, "caption": …}``.

    They are as :class:`JSONLRetrieval`'s, also of sounds, of which ``start`` and ``end`` restrict the range, too, and
    of several images (``"image": [path, path]``). ``sample_id`` is the path, with the range if there is one; ``name``
    is the file's name without its suffix, by which stored features are found. Arguments and errors:
    :class:`BaseCaption`.
    """

    def load_captions(self) -> Iterator[tuple[str, dict, list[str]]]:
        folder = self.data_prefix['media']
        for where, clip, captions in read_captioned(self.ann_file, folder, self.data_root, KEYS, several=True):
            sample_id = clip['name']
            if 'paths' in clip:
                clip['names'] = [Path(path).stem for path in clip['paths']]
            else:
                clip['name'] = Path(clip['path']).stem
            yield where, dict(clip, sample_id=sample_id), captions
