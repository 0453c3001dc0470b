"""From whatever a picture file stores (8 to 32 bits, floats, transparency) to 8-bit RGB, scaled and never clipped."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .base import ClipError, check_finite

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
WHITE_IS_ZERO, UNSIGNED = 0, 1


class StoredType(NamedTuple):
    """Integers of a grey picture of more than 8 ``bits``: ``signed`` or not, 0 is ``white`` or black."""

    bits: int
    signed: bool
    white: bool


def stored_type(image) -> StoredType:
    """How an opened PIL image stores a channel; only for modes 'I' and 'I;16…' does it mean something."""
    if image.format == 'TIFF':
        tags = image.tag_v2
        return StoredType(
            tags.get(BITS_PER_SAMPLE, (1,))[0],
            tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] != UNSIGNED,
            tags.get(PHOTOMETRIC) == WHITE_IS_ZERO,
        )
    # PIL brings PGM to 16 bits, and keeps signed integers of other formats in mode 'I'.
    return StoredType(16, image.mode == 'I' and image.format != 'PPM', False)


def to_rgb(path: str, image, stored: StoredType, background: Sequence[int] | None) -> np.ndarray:
    """Pixels of a PIL image as uint8.

    Unsigned integers of b bits keep their 8 highest bits, as PIL does with 16-bit colours; floats from 0 to 1 become
    round(255 x).

    Args:
        path: Its file, for errors.
        image (PIL.Image.Image): The image.
        stored: What the file stores.
        background: Colour behind transparent pixels (R, G, B); None drops the transparency.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ClipError: Numbers without an agreed scale: signed integers, floats outside of [0, 1], NaN.
    """
    from PIL import Image

    if image.mode == 'F' or image.mode.startswith('I'):
        key = image.info.get('transparency')
        values = np.asarray(image)
        grey = _floats(path, values) if image.mode == 'F' else _integers(path, values, stored)
        image = Image.fromarray(grey)
        if key is not None:  # one value of the file stands for transparent
            image.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    if background is None or not image.has_transparency_data:
        return np.asarray(image.convert('RGB'))
    canvas = Image.new('RGBA', image.size, (*background, 255))
    return np.asarray(Image.alpha_composite(canvas, image.convert('RGBA')).convert('RGB'))


def _integers(path: str, values: np.ndarray, stored: StoredType) -> np.ndarray:
    if stored.signed:
        raise ClipError(
            path,
            f'its pixels are signed integers from {values.min()} to {values.max()}, which have no '
            'agreed black and white; store 8 or 16 bits without sign',
        )
    # PIL keeps 32 bits without sign in a signed integer.
    high = (values.astype(np.int64) & 0xFFFFFFFF) >> (stored.bits - 8)
    return (255 - high if stored.white else high).astype(np.uint8)


def _floats(path: str, values: np.ndarray) -> np.ndarray:
    check_finite(path, values, 'pixels')
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise ClipError(path, f'its pixels are floats from {low:.6g} to {high:.6g}, expected 0 (black) to 1 (white)')
    return np.rint(values * 255).astype(np.uint8)
