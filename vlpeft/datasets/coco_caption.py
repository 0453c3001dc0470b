"""Captions in COCO's own format, which NoCaps took over (Chen et al. 2015; Agrawal et al., ICCV 2019)."""

from collections.abc import Iterator
from pathlib import Path

from ..registry import DATASETS
from .annotations import AnnotationError, locate, read_json
from .base_caption import BaseCaption
from .records import entries, field


@DATASETS.register_module()
class COCOCaption(BaseCaption):
    """Images and captions of ``{"images": [{id, file_name}], "annotations": [{image_id, caption}]}``.

    Reads COCO's ``captions_val2014.json``, NoCaps' ``nocaps_val_4500_captions.json`` and, without ``annotations``,
    ``nocaps_test_image_info.json``, whose captions are not public. ``sample_id`` is the image's id, ``name`` its file
    name without suffix; ``file_name`` is relative to the media folder. Arguments and errors: :class:`BaseCaption`.
    """

    def load_captions(self) -> Iterator[tuple[str, dict, list[str]]]:
        folder = self.data_prefix['media']
        for where, image, captions in read_coco_captions(self.ann_file):
            file = field(where, image, 'file_name', str)
            path = locate(file, folder, (self.data_root, folder), where)
            yield where, dict(name=Path(file).stem, path=path, media='image', sample_id=image['id']), captions


def read_coco_captions(path: str) -> Iterator[tuple[str, dict, list[str]]]:
    """Images in the order of the file, each with its captions.

    Args:
        path: The file.

    Yields:
        Place for messages, the image's record, captions; none if there are no annotations.

    Raises:
        AnnotationError: The file is missing or malformed, two images have one id, or a caption is of no image.
    """
    content = read_json(path)
    images: dict[int, tuple[str, dict, list[str]]] = {}
    for where, image in entries(path, content, 'images'):
        number = field(where, image, 'id', int)
        if number in images:
            raise AnnotationError(f'{where}: id {number} was already used at {images[number][0]}')
        images[number] = (where, image, [])
    for where, annotation in entries(path, content, 'annotations') if 'annotations' in content else ():
        number = field(where, annotation, 'image_id', int)
        if number not in images:
            raise AnnotationError(f"{where}: no image has the id {number} ('image_id')")
        images[number][2].append(field(where, annotation, 'caption', str))
    yield from images.values()
