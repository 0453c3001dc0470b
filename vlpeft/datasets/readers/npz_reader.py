"""Reader of features with one npz file per video."""

import zipfile
import zlib

import numpy as np

from ...registry import READERS
from .base import ClipError
from .features import FeatureFolderReader


@READERS.register_module()
class NPZReader(FeatureFolderReader):
    """Features with one npz file per video, as in VALUE's release: ``{root}/{name}.npz``, array ``features`` (T, F),
    one row a frame.

    Args:
        root (str): The folder.
        shape (tuple[int | None, int | None]): Expected frames T and dims F; None allows any. Defaults to (None, None).
    """

    suffix = '.npz'
    broken = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)

    def load(self, path: str, name: str) -> np.ndarray:
        with np.load(path) as archive:
            if 'features' not in archive.files:
                raise ClipError(path, f"no array 'features'; the file holds {', '.join(archive.files) or 'nothing'}")
            return archive['features']
