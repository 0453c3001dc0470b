"""Captions of sounds: AudioCaps (Kim et al., NAACL 2019)."""

from collections.abc import Iterator
from pathlib import Path

from ..registry import DATASETS
from .annotations import locate
from .base_caption import BaseCaption
from .jsonl import captions_of
from .records import field, read_records


@DATASETS.register_module()
class AudioCaps(BaseCaption):
    """AudioCaps as eP-ALM lays it out: one JSON list a split of ``{"audio": path, "caption": str or list of str}``.

    Training has a sample for each caption; a test has one for each sound, with all its captions. ``sample_id`` is the
    path as the file has it; ``name`` is the file's name without its suffix.

    Args:
        ann_file: The list, or the same objects as JSON lines (``.jsonl``).
        data_prefix: ``media``: folder that the paths are relative to. Defaults to dict(media='audios').
        **kwargs: Other arguments of :class:`BaseCaption`.
    """

    def __init__(self, ann_file: str, data_prefix: dict = dict(media='audios'), **kwargs) -> None:
        super().__init__(ann_file, data_prefix=data_prefix, **kwargs)

    def load_captions(self) -> Iterator[tuple[str, dict, list[str]]]:
        folder = self.data_prefix['media']
        for where, entry in read_records(self.ann_file):
            audio = field(where, entry, 'audio', str)
            path = locate(audio, folder, (self.data_root, folder), where)
            clip = dict(name=Path(audio).stem, path=path, media='audio', sample_id=audio)
            yield where, clip, captions_of(where, entry)
