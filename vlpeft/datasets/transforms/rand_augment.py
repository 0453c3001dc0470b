"""RandAugment for clips, drawn once per clip: BLIP's operations, and torchvision's.

Paper: RandAugment (Cubuk et al. 2020, arXiv:1909.13719).
"""

import math

import torch
from mmcv.transforms import BaseTransform
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ...registry import TRANSFORMS

GREY = [128.0]  # of the pixels that a geometric operation uncovers
MAX_LEVEL = 10
BILINEAR = v2.InterpolationMode.BILINEAR


def _affine(clip: torch.Tensor, shift: tuple[float, float] = (0, 0), shear: tuple[float, float] = (0.0, 0.0)):
    shear = [math.degrees(math.atan(value)) for value in shear]
    return F.affine(clip, angle=0.0, translate=list(shift), scale=1.0, shear=shear, interpolation=BILINEAR, fill=GREY)


def _over_clip(operation, clip: torch.Tensor) -> torch.Tensor:
    """Apply an operation that measures a histogram to all frames as one tall image, so a clip does not flicker."""
    frames, channels, height, width = clip.shape
    tall = clip.permute(1, 0, 2, 3).reshape(channels, frames * height, width)
    return operation(tall).reshape(channels, frames, height, width).permute(1, 0, 2, 3)


# Strength s in [0, 1] with a random sign r: a shear of 0.3 s, a shift of 10 s pixels, a turn of 30 s degrees, an
# enhancement factor of 0.1 + 1.8 s. BLIP's scale: at magnitude 5 brightness and sharpness change nothing.
OPERATIONS = dict(
    Identity=lambda clip, s, r: clip,
    AutoContrast=lambda clip, s, r: _over_clip(F.autocontrast, clip),
    Equalize=lambda clip, s, r: _over_clip(F.equalize, clip),
    Brightness=lambda clip, s, r: F.adjust_brightness(clip, 0.1 + 1.8 * s),
    Sharpness=lambda clip, s, r: F.adjust_sharpness(clip, 0.1 + 1.8 * s),
    ShearX=lambda clip, s, r: _affine(clip, shear=(0.3 * s * r, 0.0)),
    ShearY=lambda clip, s, r: _affine(clip, shear=(0.0, 0.3 * s * r)),
    TranslateX=lambda clip, s, r: _affine(clip, shift=(10 * s * r, 0)),
    TranslateY=lambda clip, s, r: _affine(clip, shift=(0, 10 * s * r)),
    Rotate=lambda clip, s, r: F.rotate(clip, 30 * s * r, interpolation=BILINEAR, fill=GREY),
)


@TRANSFORMS.register_module()
class ClipRandAugment(BaseTransform):
    """Apply random operations of BLIP's set, each with the same parameters to every frame.

    Operations: identity, auto-contrast, equalize, brightness, sharpness, shear, shift (both axes), turn.

    Args:
        num_ops: Operations applied one after the other, drawn with replacement. Defaults to 2.
        magnitude: Strength, 0 to 10. Defaults to 5.
        prob: Probability with which each operation drawn is applied. Defaults to 1.

    Raises:
        ValueError: ``magnitude`` outside [0, 10].
    """

    def __init__(self, num_ops: int = 2, magnitude: int = 5, prob: float = 1.0) -> None:
        if not 0 <= magnitude <= MAX_LEVEL:
            raise ValueError(f'magnitude must lie in 0..{MAX_LEVEL}, got {magnitude}')
        self.num_ops = num_ops
        self.strength = magnitude / MAX_LEVEL
        self.prob = prob

    def transform(self, results: dict) -> dict:
        names = list(OPERATIONS)
        for draw in torch.randint(len(names), (self.num_ops,)).tolist():
            sign = 1 - 2 * int(torch.randint(2, ()))
            # Without a choice nothing is drawn, so that recipes of old keep their random numbers.
            if self.prob < 1 and torch.rand(()) >= self.prob:
                continue
            results['clip'] = OPERATIONS[names[draw]](results['clip'], self.strength, sign)
        return results


@TRANSFORMS.register_module()
class ClipTorchvisionRandAugment(BaseTransform):
    """torchvision's RandAugment, with the same operations and parameters for every frame.

    Its set has posterize, solarize, colour and contrast beside those of :class:`ClipRandAugment`, and uncovered pixels
    become black. Histograms are measured frame by frame.

    Args:
        num_ops: Operations applied one after the other, drawn with replacement. Defaults to 2.
        magnitude: Strength, 0 to 30. Defaults to 9.
    """

    def __init__(self, num_ops: int = 2, magnitude: int = 9) -> None:
        self.augment = v2.RandAugment(num_ops, magnitude)

    def transform(self, results: dict) -> dict:
        results['clip'] = self.augment(results['clip'])
        return results
