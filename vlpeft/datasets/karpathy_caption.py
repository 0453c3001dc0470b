"""Captions of COCO and Flickr30K images on Karpathy's splits (Karpathy and Fei-Fei, CVPR 2015)."""

from collections.abc import Iterator
from pathlib import Path

from ..registry import DATASETS
from .annotations import locate
from .base_caption import BaseCaption
from .karpathy import check_split, read_images


@DATASETS.register_module()
class KarpathyCaption(BaseCaption):
    """COCO or Flickr30K captioning from Karpathy's single file or from BLIP's (one a split).

    ``name`` and ``sample_id`` are the image's file name without its suffix (``COCO_val2014_000000391895``).

    Args:
        ann_file: As in :class:`KarpathyRetrieval`.
        split: Split of Karpathy's single file: 'train' (with COCO's 'restval'), 'val' or 'test'. Defaults to None, for
            BLIP's files.
        **kwargs: Other arguments of :class:`BaseCaption`.

    Raises:
        ValueError: Unknown split.
        AnnotationError: A split asked of BLIP's files, or none of Karpathy's; and as :class:`BaseCaption`.
    """

    def __init__(self, ann_file: str, split: str | None = None, **kwargs) -> None:
        self.split = check_split(split)
        super().__init__(ann_file, **kwargs)

    def load_captions(self) -> Iterator[tuple[str, dict, list[str]]]:
        folder = self.data_prefix['media']
        for where, image, captions in read_images(self.ann_file, self.split):
            path, name = locate(image, folder, (self.data_root, folder), where), Path(image).stem
            yield where, dict(name=name, path=path, media='image', sample_id=name), captions
