"""Captions of videos, one list a split, as eP-ALM lays out MSR-VTT (Xu et al., CVPR 2016)."""

from collections.abc import Iterator

from ..registry import DATASETS
from .annotations import locate
from .base_caption import BaseCaption
from .jsonl import captions_of
from .records import field, read_records
from .video_folder import VideoFolder, clip_name


@DATASETS.register_module()
class VideoCaption(BaseCaption):
    """Video captioning from a JSON list, or JSON lines (``.jsonl``), of ``{"video": file, "caption": str or list}``.

    Training has a sample for each caption; a test has one for each video, with all its captions, also of several
    records. ``name`` and ``sample_id`` are the file's name without its suffix; the file may have another one, see
    :class:`VideoFolder`. ``tools/dataset_converters/msrvtt_caption.py`` makes the lists from MSR-VTT's own file.

    Args:
        ann_file: ``annotation/msrvtt_caption_train7k.json``, …
        data_prefix: ``media``: folder of the videos. Defaults to dict(media='videos').
        **kwargs: Other arguments of :class:`BaseCaption`.
    """

    def __init__(self, ann_file: str, data_prefix: dict = dict(media='videos'), **kwargs) -> None:
        super().__init__(ann_file, data_prefix=data_prefix, **kwargs)

    def load_captions(self) -> Iterator[tuple[str, dict, list[str]]]:
        folder = self.data_prefix['media']
        files = VideoFolder(folder)
        for where, record in read_records(self.ann_file):
            video = field(where, record, 'video', str)
            path = locate(files.find(video), folder, (self.data_root, folder), where)
            name = clip_name(video)
            yield where, dict(name=name, path=path, media='video', sample_id=name), captions_of(where, record)
