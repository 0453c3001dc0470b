"""From names to stored visual features."""

import torch
from mmcv.transforms import BaseTransform
from torch import Tensor
from torch.nn import functional as F

from ...registry import READERS, TRANSFORMS
from ..readers import ClipError


@TRANSFORMS.register_module()
class LoadFeatures(BaseTransform):
    """Read the stored features of a sample's images or of its video.

    Needs ``names`` (list[str], several images) or ``name`` (str); adds ``features``, a tensor (I, N, F) of I images
    with N cells of F dims, in the stored type.

    Args:
        reader: Config of a feature reader: ``HDF5Reader``, ``PackedHDF5Reader`` or ``NPZReader``.
        length: Cells of a video, whose features (T, F) have a row a frame: more are max-pooled over time, fewer filled
            up with zeros. Defaults to None, as stored.

    Raises:
        ClipError: On use, when features are missing or unreadable, or the images of a sample differ in shape.
    """

    def __init__(self, reader: dict, length: int | None = None) -> None:
        self.reader = READERS.build(reader)
        self.length = length

    def transform(self, results: dict) -> dict:
        names = results.get('names') or [results['name']]
        features = [torch.from_numpy(self.reader.read(name)) for name in names]
        if self.length is not None:
            features = [fit_length(frames, self.length) for frames in features]
        for name, other in zip(names[1:], features[1:]):
            if other.shape != features[0].shape:
                raise ClipError(
                    name,
                    f'its features have shape {tuple(other.shape)}, those of {names[0]} '
                    f'{tuple(features[0].shape)}; a sample needs one shape',
                )
        results['features'] = torch.stack(features)
        return results


def fit_length(frames: Tensor, length: int) -> Tensor:
    """Bring features of a video to a fixed number of rows (VL-Adapter's length normalisation).

    Args:
        frames: (T, F).
        length: Rows wanted, L.

    Returns:
        (L, F) in the same type. For T > L, adaptive max-pooling over time: row i holds the maximum of the frames
        floor(i T / L) to ceil((i + 1) T / L) - 1. For T < L the last L - T rows are zero.
    """
    if len(frames) > length:
        return F.adaptive_max_pool1d(frames.t().float(), length).t().to(frames.dtype)
    return F.pad(frames, (0, 0, 0, length - len(frames)))
