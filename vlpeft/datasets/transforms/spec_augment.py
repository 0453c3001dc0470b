"""Masks over the spectrogram of a sound (SpecAugment, Park et al., Interspeech 2019)."""

import torch
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class SpecAugment(BaseTransform):
    """Set one band of mel bins and one stretch of frames of ``features`` (1, frames, bins) to 0, in training.

    A width is drawn from 0 to its limit less 1, then one of the places where it fits, both evenly, by torch's global
    generator. 0 is also what :class:`Fbank` pads with: put it before :class:`NormaliseFbank`, as AST and eP-ALM do.

    Args:
        bins: Limit of the band. Defaults to 24.
        frames: Limit of the stretch. Defaults to 96.

    Raises:
        ValueError: On use: a limit does not fit into the spectrogram.
    """

    def __init__(self, bins: int = 24, frames: int = 96) -> None:
        self.limits = {1: frames, 2: bins}

    def transform(self, results: dict) -> dict:
        features = results['features'].clone()
        for dim, limit in self.limits.items():
            if limit > features.shape[dim] + 1:
                raise ValueError(
                    f'SpecAugment(bins={self.limits[2]}, frames={self.limits[1]}) does not fit into a '
                    f'spectrogram of {features.shape[1]} frames and {features.shape[2]} bins'
                )
            width = int(torch.randint(limit, ()))
            first = int(torch.randint(features.shape[dim] - width + 1, ()))
            features.narrow(dim, first, width).zero_()
        results['features'] = features
        return results
