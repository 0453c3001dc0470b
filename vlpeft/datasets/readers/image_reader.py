"""Image reader: a still is a clip of one frame."""

import io
from collections.abc import Callable, Sequence

import numpy as np

from ...registry import READERS
from .base import BaseReader, ClipInfo, check_file, check_indices, decoding
from .colours import stored_type, to_rgb


@READERS.register_module()
class ImageReader(BaseReader):
    """Still images (JPEG, PNG, …) by PIL as clips of one frame, turned upright as their EXIF data say.

    Of a file with several pictures (animated GIF, PNG and WebP; TIFF with pages) it is the first one. Integers of 12,
    16 and 32 bits and floats are scaled by their type (see :func:`~vlpeft.datasets.readers.colours.to_rgb`).

    Args:
        background: Colour behind transparent pixels, (R, G, B) from 0 to 255. None drops the transparency, as PIL's
            ``convert('RGB')`` and the releases do: what then appears is whatever colour the file keeps there. Defaults
            to (255, 255, 255), white, as browsers show pictures.

    Raises:
        ValueError: ``background`` is no colour.
    """

    def __init__(self, background: Sequence[int] | None = (255, 255, 255)) -> None:
        if background is not None:
            whole = all(isinstance(value, int) and 0 <= value <= 255 for value in background)
            if not whole or len(background) != 3:
                raise ValueError(f'background must be None or three integers from 0 to 255, got {background}')
            background = tuple(background)
        self.background = background

    def probe(self, path: str) -> ClipInfo:
        check_file(path)
        return ClipInfo(num_frames=1, fps=0.0)

    def read(self, path: str, indices: Sequence[int]) -> np.ndarray:
        check_file(path)
        check_indices(path, indices, 1)
        return np.stack([self._pixels(path, lambda: path)] * len(indices))

    def decode(self, name: str, data: bytes) -> np.ndarray:
        """The picture of a file's content, uint8 (H, W, 3).

        Args:
            name: For errors.
            data: The content.

        Raises:
            ClipError: It is no picture, or damaged.
        """
        return self._pixels(name, lambda: io.BytesIO(data))

    def _pixels(self, name: str, source: Callable[[], str | io.BytesIO]) -> np.ndarray:
        from PIL import Image, ImageOps

        with decoding(name, 'not a readable image, or truncated'), Image.open(source()) as image:
            if image.format == 'PNG':  # decoding stops at the last pixel, before the checksums
                with Image.open(source()) as checked:
                    checked.verify()
            stored = stored_type(image)
            return to_rgb(name, ImageOps.exif_transpose(image), stored, self.background)
