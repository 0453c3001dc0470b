"""PyAV reader: whatever FFmpeg decodes, AV1 and unusual containers included."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ...registry import READERS
from .base import BaseReader, ClipError, ClipInfo, check_indices
from .clip_index import ClipIndex, index_clip
from .container import open_media
from .display import display_matrix, upright


@READERS.register_module()
class PyAVReader(BaseReader):
    """Exact frame reader on PyAV (FFmpeg): seeks to key frames and decodes up to the wanted frames."""

    def __init__(self) -> None:
        self._last = ('', None)

    def index(self, path: str) -> ClipIndex:
        """Index of the file; the last one is kept, because ``read`` follows ``probe``."""
        if self._last[0] != path:
            self._last = (path, index_clip(path))
        return self._last[1]

    def probe(self, path: str) -> ClipInfo:
        self._last = ('', None)  # the file may have changed since it was read
        return self.index(path).info

    def read(self, path: str, indices: Sequence[int]) -> np.ndarray:
        index = self.index(path)
        check_indices(path, indices, len(index.times))
        wanted = sorted(set(indices))
        frames = self._decode(path, index, wanted, index.keys)
        if len(frames) < len(wanted):  # a seek went past its target
            frames = self._decode(path, index, wanted, keys=(0,))
        lost = [number for number in wanted if number not in frames]
        if lost:
            raise ClipError(path, f'frame {lost[0]} of {len(index.times)} cannot be decoded')
        sizes = sorted({picture.shape[:2] for picture in frames.values()})
        if len(sizes) > 1:
            raise ClipError(path, f'its pictures change their size, from {sizes[0]} to {sizes[1]}')
        return np.stack([frames[number] for number in indices])

    def _decode(self, path: str, index: ClipIndex, wanted: list[int], keys: tuple) -> dict[int, np.ndarray]:
        """Frames by number, decoding forward and jumping over groups of pictures without a wanted frame."""
        found = {}
        with open_media(path, 'damaged or truncated') as container:
            stream = container.streams[index.track]
            stream.thread_type = 'NONE'  # the loader's workers are the parallelism
            frames, position = _numbered(container, stream, index), 0
            for target in wanted:
                key = keys[bisect_right(keys, target) - 1]
                if key > position:
                    container.seek(index.times[key], stream=stream)
                    frames = _numbered(container, stream, index)
                for position, frame in frames:  # noqa: B007
                    if position >= target:
                        break
                else:
                    break
                if position == target:
                    found[target] = upright(frame.to_ndarray(format='rgb24'), display_matrix(frame))
        return found


def _numbered(container, stream, index: ClipIndex) -> Iterator[tuple]:
    """Decoded frames from the current position on, each with its number in presentation order."""
    if index.times[0] is None:
        yield from enumerate(container.decode(stream))
        return
    seen = Counter()  # frames that share their time come one after the other
    for frame in container.decode(stream):
        position = bisect_left(index.times, frame.pts) + seen[frame.pts]
        if position < len(index.times) and index.times[position] == frame.pts:
            seen[frame.pts] += 1
            yield position, frame
