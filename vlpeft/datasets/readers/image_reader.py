"""Image reader: a still is a clip of one frame."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ...registry import READERS
from .base import BaseReader, ClipError, ClipInfo, check_file, check_indices


@READERS.register_module()
class ImageReader(BaseReader):
    """Still images (JPEG, PNG, …) by PIL as clips of one frame, turned upright as their EXIF data say."""

    def probe(self, path: str) -> ClipInfo:
        check_file(path)
        return ClipInfo(num_frames=1, fps=0.0)

    def read(self, path: str, indices: Sequence[int]) -> np.ndarray:
        check_file(path)
        check_indices(path, indices, 1)
        try:
            with Image.open(path) as image:
                pixels = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise ClipError(path, f'not a readable image, or truncated ({error})') from error
        return np.stack([pixels] * len(indices))
