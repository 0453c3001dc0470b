"""Reader of features with one HDF5 file per image."""

from itertools import islice

import numpy as np

from ...registry import READERS
from ..features_file import dataset_of, open_hdf5
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
            stored = dataset_of(file, f'{name}/features')
            if stored is None:
                groups = ', '.join(f'{group}/{key}' for group in islice(file, 8) for key in _keys(file, group))
                raise ClipError(path, f"no dataset '{name}/features'; the file holds {groups or 'nothing'}")
            self.check_shape(path, stored.shape, stored.dtype)
            return stored[()]


def _keys(file, group: str) -> list[str]:
    """What is in a group of the file itself, for messages."""
    try:
        return list(islice(file[group], 8)) if type(file.get(group, getlink=True)).__name__ == 'HardLink' else []
    except TypeError:  # a dataset
        return []
