"""Crop, flip and resize a clip: one draw of the parameters for all its frames."""

import re

from mmcv.transforms import BaseTransform
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ...registry import TRANSFORMS

BICUBIC = v2.InterpolationMode.BICUBIC
SIDES = re.compile(r'\b(left|right)(most)?\b', re.IGNORECASE)


@TRANSFORMS.register_module()
class ClipRandomResizedCrop(BaseTransform):
    """Crop a random part, the same of every frame, and resize it to a square with bicubic interpolation.

    Args:
        size: Side of the square in pixels. Defaults to 224.
        scale: Smallest and largest share of the area. Defaults to (0.5, 1.0).
    """

    def __init__(self, size: int = 224, scale: tuple[float, float] = (0.5, 1.0)) -> None:
        self.crop = v2.RandomResizedCrop(size, scale=tuple(scale), interpolation=BICUBIC, antialias=True)

    def transform(self, results: dict) -> dict:
        results['clip'] = self.crop(results['clip'])
        return results


@TRANSFORMS.register_module()
class ClipRandomFlip(BaseTransform):
    """Mirror the whole clip left to right with a given probability.

    Args:
        prob: Probability. Defaults to 0.5.
        keep_sides: Never mirror a clip whose texts (``question``, ``answers``, ``caption``, ``text``) have the word
            left, right, leftmost or rightmost: the picture would no longer agree with them. Defaults to False.
    """

    def __init__(self, prob: float = 0.5, keep_sides: bool = False) -> None:
        self.flip = v2.RandomHorizontalFlip(prob)
        self.keep_sides = keep_sides

    def transform(self, results: dict) -> dict:
        if not (self.keep_sides and _names_a_side(results)):
            results['clip'] = self.flip(results['clip'])
        return results


def _names_a_side(results: dict) -> bool:
    texts = [results[key] for key in ('question', 'caption', 'text') if key in results]
    return any(map(SIDES.search, [*texts, *results.get('answers', ())]))


@TRANSFORMS.register_module()
class ClipResize(BaseTransform):
    """Resize every frame to a square with bicubic interpolation, whatever its shape.

    Args:
        size: Side of the square in pixels. Defaults to 224.
    """

    def __init__(self, size: int = 224) -> None:
        self.size = [size, size]

    def transform(self, results: dict) -> dict:
        results['clip'] = F.resize(results['clip'], self.size, interpolation=BICUBIC, antialias=True)
        return results
