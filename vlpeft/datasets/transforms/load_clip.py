"""From an annotation to pixels: pick T frames, read them."""

import torch
from mmcv.transforms import BaseTransform

from ...registry import READERS, TRANSFORMS
from ..frame_sampling import frame_range, middle_indices, random_indices, timed_range
from ..readers import ClipError, ClipInfo
from ..released_sampling import released_middle_indices, released_random_indices

SAMPLINGS = dict(
    random=random_indices,
    middle=middle_indices,
    released_random=released_random_indices,
    released_middle=released_middle_indices,
)


@TRANSFORMS.register_module()
class LoadClip(BaseTransform):
    """Read T frames of a video, or an image as one frame.

    Needs ``path`` and ``media`` ('video' or 'image') and, for a part of a video, ``start`` and ``end`` in seconds;
    adds ``clip``, a uint8 tensor (T, 3, H, W), and ``frame_indices``, its frame numbers.

    Args:
        num_frames: Frames T of a video; an image always has one. Defaults to 8.
        sampling: 'random' draws one frame per segment (training), 'middle' takes segment middles (test);
            'released_random' and 'released_middle' do so as eP-ALM's release. Defaults to 'middle'.
        reader: Config of the video reader. Defaults to dict(type='DecordReader').
        image_reader: Config of the image reader. Defaults to dict(type='ImageReader'): transparent pixels are white.

    Raises:
        ValueError: Unknown ``sampling`` or ``num_frames`` < 1.
        ClipError: On use, when the file cannot be read or has no frame between ``start`` and ``end``.
    """

    def __init__(
        self,
        num_frames: int = 8,
        sampling: str = 'middle',
        reader: dict = dict(type='DecordReader'),
        image_reader: dict = dict(type='ImageReader'),
    ) -> None:
        if sampling not in SAMPLINGS:
            raise ValueError(f"unknown sampling '{sampling}'; valid: {', '.join(SAMPLINGS)}")
        if num_frames < 1:
            raise ValueError(f'num_frames must be at least 1, got {num_frames}')
        self.num_frames = num_frames
        self.sample = SAMPLINGS[sampling]
        self.readers = dict(video=READERS.build(reader), image=READERS.build(image_reader))

    def transform(self, results: dict) -> dict:
        if 'paths' in results:
            raise ClipError(', '.join(results['paths']), 'LoadClip reads one file; several images take LoadImages')
        path, reader = results['path'], self.readers[results['media']]
        indices = [0]
        if results['media'] == 'video':
            info = reader.probe(path)
            try:
                start, end = _range(info, results.get('start'), results.get('end'))
            except ValueError as error:
                raise ClipError(path, str(error), 'too_short') from error
            indices = self.sample(start, end, self.num_frames).tolist()
        frames = reader.read(path, indices)
        results['clip'] = torch.from_numpy(frames).permute(0, 3, 1, 2)
        results['frame_indices'] = indices
        return results


def _range(info: ClipInfo, start: float | None, end: float | None) -> tuple[int, int]:
    if info.times is None:
        return frame_range(info.num_frames, info.fps, start, end)
    return timed_range(info.times, info.duration, start, end)
