"""From an annotation to a waveform."""

import torch
from mmcv.transforms import BaseTransform

from ...registry import READERS, TRANSFORMS


@TRANSFORMS.register_module()
class LoadAudio(BaseTransform):
    """Read the sound of a sample.

    Needs ``path`` and, for a part of the file, ``start`` and ``end`` in seconds; adds ``waveform``, a float tensor (N,)
    in [-1, 1], the first channel, and ``sample_rate``, its samples per second.

    Args:
        sample_rate: Samples per second; other files are resampled. None keeps each file's own rate, as eP-ALM's release
            does. Defaults to 16000, what audio towers are trained on.

    Raises:
        ClipError: On use, when the file cannot be read or has no sound between ``start`` and ``end``.
    """

    def __init__(self, sample_rate: int | None = 16000) -> None:
        self.reader = READERS.build(dict(type='AudioReader', sample_rate=sample_rate))

    def transform(self, results: dict) -> dict:
        samples, rate = self.reader.read(results['path'], results.get('start'), results.get('end'))
        results.update(waveform=torch.from_numpy(samples), sample_rate=rate)
        return results
