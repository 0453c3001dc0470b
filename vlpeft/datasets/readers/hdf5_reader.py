"""Reader of features with one HDF5 file per image."""

import numpy as np

from ...registry import READERS
from ..features_file import open_hdf5
from .base import ClipError
from .features import FeatureFolderReader


@READERS.register_module()
class HDF5Reader(FeatureFolderReader):
    """Features with one HDF5 file per image, as in VL-PET's release: ``{root}/{name}.h5``, group ``name``, dataset
    ``features`` (N, F).

    Args:
        root (str): The folder.
        shape (tuple[int | None, int | None]): Expected cells N and dims F; None allows any. Defaults to (None, None).
    """

    suffix = '.h5'

    def load(self, path: str, name: str) -> np.ndarray:
        with open_hdf5(path) as file:
            stored = file.get(f'{name}/features')
            if not hasattr(stored, 'dtype'):
                groups = ', '.join(f'{group}/{key}' for group in file for key in getattr(file[group], 'keys', tuple)())
                raise ClipError(path, f"no dataset '{name}/features'; the file holds {groups or 'nothing'}")
            self.check_shape(path, stored.shape, stored.dtype)
            return stored[()]
