"""Moves a batch to the device and normalises its frames there, so that workers ship bytes."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor

from vlpeft.registry import MODELS


@MODELS.register_module()
class FeatureDataPreprocessor(BaseDataPreprocessor):
    """Moves stored features (B, I, N, F) to the device and casts them there, so that workers ship what was stored.

    Copies may overlap with computation.
    """

    def __init__(self) -> None:
        super().__init__(non_blocking=True)
        self.register_buffer('like', torch.zeros(()), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Returns the batch with ``inputs`` in the dtype of the model."""
        data = self.cast_data(data)
        return dict(data, inputs=data['inputs'].to(self.like.dtype))


@MODELS.register_module()
class ClipDataPreprocessor(BaseDataPreprocessor):
    """Casts uint8 frames (B, T, 3, H, W) to normalised floats on the device; copies may overlap with computation.

    Args:
        mean, std: Per channel, for values in [0, 255]. Default to CLIP's, as BLIP uses.
    """

    def __init__(
        self,
        mean: Sequence[float] = (122.7709383, 116.7460125, 104.09373615),
        std: Sequence[float] = (68.5005327, 66.6321579, 70.32316305),
    ) -> None:
        super().__init__(non_blocking=True)
        self.register_buffer('mean', torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Returns the batch with ``inputs`` (B, T, 3, H, W) float."""
        data = self.cast_data(data)
        return dict(data, inputs=(data['inputs'].to(self.mean.dtype) - self.mean) / self.std)
