"""Whole images for a vision tower that runs online, in place of stored features."""

import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from ...registry import READERS, TRANSFORMS
from .geometry import ClipResize


@TRANSFORMS.register_module()
class LoadImages(BaseTransform):
    """Read the I images of a sample and resize each to a square, whatever its shape, with bicubic interpolation.

    Needs ``paths``, or ``path`` of a single image; adds ``features``, a uint8 tensor (I, 3, size, size).

    Args:
        size: Side of the square in pixels. Defaults to 224.
        reader: Config of the image reader. Defaults to dict(type='ImageReader'): transparent pixels are white.

    Raises:
        ClipError: On use, when a file cannot be read.
    """

    def __init__(self, size: int = 224, reader: dict = dict(type='ImageReader')) -> None:
        self.resize = ClipResize(size)
        self.reader = READERS.build(reader)

    def transform(self, results: dict) -> dict:
        paths = results['paths'] if 'paths' in results else [results['path']]
        results['features'] = torch.cat([self._read(path) for path in paths])
        return results

    def _read(self, path: str) -> Tensor:
        image = torch.from_numpy(self.reader.read(path, [0])).permute(0, 3, 1, 2)
        return self.resize(dict(clip=image))['clip']
