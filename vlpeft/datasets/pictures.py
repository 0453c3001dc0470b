"""The pictures of a set for people: frames of a sample's files as they are, before the pipeline resizes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from .readers import ClipError
from .transforms import LoadClip
from .transforms.chat_media import ChatMedia

#: Frames of a video where the pipeline does not say how many; pictures of one sample that are shown.
FRAMES, SHOWN = 4, 16
PYAV = dict(type='PyAVReader')


class Pictures:
    """Frames of the samples of a test set by ``name``.

    A video gives the frames that the set's pipeline picks, if that has a :class:`LoadClip`; several images follow each
    other, brought to the size of the first.

    Args:
        dataset: A set whose samples have ``name``, and ``path`` and ``media`` or ``paths`` (:class:`BaseClips`), or
            ``images`` and ``videos`` (:class:`JSONLChat`).
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.rows: dict[str, int] | None = None
        steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
        own = [step for step in steps if isinstance(step, LoadClip)]
        self.clips = own[0] if own else LoadClip(FRAMES, reader=PYAV)
        self.chat = ChatMedia(FRAMES, 'middle', PYAV, dict(type='ImageReader'))

    def frames(self, name: str) -> np.ndarray:
        """Frames of a sample, uint8 RGB (T, H, W, 3).

        Raises:
            ClipError: The set has no such sample, it shows nothing that could be seen, or a file cannot be read.
        """
        sample = self._sample(name)
        if 'images' in sample:
            images = [np.asarray(self.chat.image(path)) for path in sample['images'][:SHOWN]]
            images += [frame for path in sample['videos'] for frame in self.chat.video(path)[0]]
        elif 'paths' in sample:
            images = [frame for path in sample['paths'][:SHOWN] for frame in self._read(dict(path=path, media='image'))]
        elif sample.get('media') in ('image', 'video'):
            images = self._read(sample)
        else:
            raise ClipError(name, 'a sound' if sample.get('media') == 'audio' else 'the set stores no picture of it')
        if not len(images):
            raise ClipError(name, 'it shows no picture')
        return _of_one_size(images)

    def _sample(self, name: str) -> dict:
        if not hasattr(self.dataset, 'get_data_info'):
            raise ClipError(name, 'the set does not say where its files are')
        if self.rows is None:
            infos = map(self.dataset.get_data_info, range(len(self.dataset)))
            self.rows = {info.get('name'): row for row, info in enumerate(infos)}
        if name not in self.rows:
            raise ClipError(name, 'the set has no file of this name')
        return self.dataset.get_data_info(self.rows[name])

    def _read(self, sample: dict) -> np.ndarray:
        return self.clips.transform(dict(sample))['clip'].permute(0, 2, 3, 1).numpy()


def _of_one_size(images: Sequence[np.ndarray]) -> np.ndarray:
    height, width = images[0].shape[:2]
    same = [
        image
        if image.shape[:2] == (height, width)
        else np.asarray(Image.fromarray(image).resize((width, height), Image.BICUBIC))
        for image in images[:SHOWN]
    ]
    return np.stack(same)
