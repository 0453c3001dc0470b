"""COCO and Flickr30K image-text retrieval on Karpathy's splits (Karpathy and Fei-Fei, CVPR 2015)."""

from collections.abc import Iterator

from ..registry import DATASETS
from .annotations import AnnotationError, locate, read_json
from .base_retrieval import BaseRetrieval
from .records import entries, field

# Name: values of Karpathy's "split" field.
SPLITS = dict(train=('train', 'restval'), val=('val',), test=('test',))
# Karpathy's Flickr30K file gives no folder: this one is the archive's and the one in BLIP's files.
FLICKR_FOLDER = 'flickr30k-images'


@DATASETS.register_module()
class KarpathyRetrieval(BaseRetrieval):
    """COCO or Flickr30K retrieval from BLIP's files (one a split) or from Karpathy's single file.

    Image paths are those of the files, relative to the media folder: ``train2014/…`` and ``val2014/…`` (COCO),
    ``flickr30k-images/…`` (Flickr30K).

    Args:
        ann_file: A list of ``{"image": path, "caption": str or list of str}`` (``coco_karpathy_train.json``,
            ``flickr30k_test.json``, …), which is its own split; or ``dataset_coco.json``, ``dataset_flickr30k.json``.
        split: Split of Karpathy's single file: 'train' (with COCO's 'restval'), 'val' or 'test'. Defaults to None, for
            BLIP's files.
        **kwargs: Other arguments of :class:`BaseRetrieval`.

    Raises:
        ValueError: Unknown split.
        AnnotationError: A split asked of BLIP's files, or none of Karpathy's; and as :class:`BaseRetrieval`.
    """

    def __init__(self, ann_file: str, split: str | None = None, **kwargs) -> None:
        self.split = check_split(split)
        super().__init__(ann_file, **kwargs)

    def load_pairs(self) -> Iterator[tuple[dict, str]]:
        folder, clips = self.data_prefix['media'], {}
        for where, image, captions in read_images(self.ann_file, self.split):
            if image not in clips:
                path = locate(image, folder, (self.data_root, folder), where)
                clips[image] = dict(name=image, path=path, media='image')
            for caption in captions:
                yield clips[image], caption


def check_split(split: str | None) -> str | None:
    """``split``, if it is None or a key of ``SPLITS``.

    Raises:
        ValueError: It is neither.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"unknown Karpathy split '{split}'; valid: {', '.join(SPLITS)}")
    return split


def read_images(ann_file: str, split: str | None = None) -> Iterator[tuple[str, str, list[str]]]:
    """Images with captions from either layout; BLIP's training files give an image once for each caption.

    Args:
        ann_file: The file.
        split: Key of ``SPLITS`` for Karpathy's single file. Defaults to None, for BLIP's files.

    Yields:
        Place for messages, image path, captions.

    Raises:
        AnnotationError: The file is missing or malformed, or ``split`` does not fit its layout.
    """
    data = read_json(ann_file)
    single = isinstance(data, dict)
    if single and split is None:
        raise AnnotationError(f'{ann_file}:1: holds all splits; set split to one of {", ".join(SPLITS)}')
    if not single and split is not None:
        raise AnnotationError(f"{ann_file}:1: is one split by itself; set split=None instead of '{split}'")
    return _from_karpathy(ann_file, data, split) if single else _from_blip(ann_file, data)


def _from_blip(ann_file: str, data: object) -> Iterator[tuple[str, str, list[str]]]:
    for where, entry in entries(ann_file, data):
        captions = entry.get('caption')
        captions = [captions] if isinstance(captions, str) else captions
        yield where, field(where, entry, 'image', str), _texts(where, captions)


def _from_karpathy(ann_file: str, data: dict, split: str) -> Iterator[tuple[str, str, list[str]]]:
    for where, entry in entries(ann_file, data, 'images'):
        if field(where, entry, 'split', str) in SPLITS[split]:
            image = f'{entry.get("filepath", FLICKR_FOLDER)}/{field(where, entry, "filename", str)}'
            yield (
                where,
                image,
                _texts(where, [sentence.get('raw') for _, sentence in entries(where, entry, 'sentences')]),
            )


def _texts(where: str, captions: object) -> list[str]:
    if not isinstance(captions, list) or not captions or not all(isinstance(text, str) for text in captions):
        raise AnnotationError(f'{where}: expected a caption, or a list of captions, as text')
    return captions
