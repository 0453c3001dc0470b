"""decord reader, the default."""

from collections.abc import Sequence

import numpy as np

from ...registry import READERS
from .base import check_indices
from .pyav_reader import PyAVReader


@READERS.register_module()
class DecordReader(PyAVReader):
    """Default frame reader on decord; files whose frames decord would mix up, or on which it may end the process, are
    decoded by PyAV.
    """

    def read(self, path: str, indices: Sequence[int]) -> np.ndarray:
        index = self.index(path)
        check_indices(path, indices, len(index.times))
        if not index.decord_exact:
            return super().read(path, indices)
        import decord

        wanted, inverse = np.unique(indices, return_inverse=True)  # decord is exact going forward only
        try:
            frames = decord.VideoReader(path, num_threads=1).get_batch(wanted.tolist()).asnumpy()
        except Exception:  # its FFmpeg is old: PyAV decodes the file or says why not
            return super().read(path, indices)
        if frames.shape[1:] != (*index.size, 3):
            return super().read(path, indices)
        return frames[inverse]
