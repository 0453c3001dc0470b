"""Reader of features with one npz file per video."""

import numpy as np

from ...registry import READERS
from .base import ClipError
from .features import FeatureFolderReader

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@READERS.register_module()
class NPZReader(FeatureFolderReader):
    """Features with one npz file per video, as in VALUE's release: ``{root}/{name}.npz``, array ``features`` (T, F),
    one row a frame.

    Args:
        root (str): The folder.
        shape (tuple[int | None, int | None]): Expected frames T and dims F; None allows any. Defaults to (None, None).
    """

    suffix = '.npz'

    def load(self, path: str, name: str) -> np.ndarray:
        with np.load(path, allow_pickle=False) as archive:
            if 'features' not in archive.files:
                raise ClipError(path, f"no array 'features'; the file holds {', '.join(archive.files) or 'nothing'}")
            with archive.zip.open('features.npy') as member:
                version = np.lib.format.read_magic(member)
                shape, _, dtype = HEADERS[version](member)
            self.check_shape(path, shape, dtype)
            return archive['features']
