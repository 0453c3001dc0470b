"""What COCO's and Flickr30K's converters share: both come on Karpathy's splits, in his file or in BLIP's."""

from pathlib import Path

from vlpeft.datasets.karpathy import read_images


def load_images(src: Path, single: str, per_split: str, split: str) -> list[dict]:
    """Lines of a split, an image with all its captions each.

    Args:
        src: Folder of the annotation files.
        single: Name of Karpathy's file, which is read if it is there.
        per_split: Name of BLIP's file of the split.
        split: 'train', 'val' or 'test'.

    Raises:
        AnnotationError: The file is missing or malformed.
    """
    whole = src / single
    images = read_images(str(whole), split) if whole.is_file() else read_images(str(src / per_split))
    captions: dict[str, list[str]] = {}
    for _, image, texts in images:
        captions.setdefault(image, []).extend(texts)
    return [dict(image=image, caption=texts) for image, texts in captions.items()]
