"""Where the vectors of files are stored.

A cache is a folder. In it each combination of encoder weights, transforms and precision has a folder of its own, named
by a hash, which holds packed files (``features_file.py``), one for each process that wrote. Nothing is deleted.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .features_file import PackedFeatures, file_origin
from .readers import PackedHDF5Reader


class VectorStore:
    """The folder of one combination.

    Args:
        cache: Folder of all combinations.
        made_by: What decides the vectors of a file, JSON values.
        shape: (K, Dv).
    """

    def __init__(self, cache: str | Path, made_by: Mapping[str, Any], shape: tuple[int, int]) -> None:
        self.cache, self.made_by, self.shape = Path(cache), json.loads(json.dumps(made_by)), shape
        digest = hashlib.sha256(json.dumps(self.made_by, sort_keys=True).encode()).hexdigest()
        self.folder = self.cache / digest[:16]
        self.refresh()

    def refresh(self) -> None:
        """Reads which rows are there."""
        self.parts = sorted(self.folder.glob('*.h5'))
        readers = [PackedHDF5Reader(str(part)) for part in self.parts]
        self.readers = {name: reader for reader in readers for name in reader.names()}

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that have no row."""
        return [name for name in names if name not in self.readers]

    def read(self, name: str) -> np.ndarray:
        """Vectors (K, Dv) float32."""
        return self.readers[name].read(name)

    def writer(self, names: list[str], rank: int) -> PackedFeatures:
        """A new part for ``names``; close it and :meth:`refresh`."""
        path = self.folder / f'part-{len(self.parts):03d}-{rank}.h5'
        return PackedFeatures(path, names, self.shape, self.made_by, dtype='float32')

    def others(self) -> dict[str, list[str]]:
        """Combinations of the cache that are not this one, and in which keys each differs."""
        found = {}
        for folder in sorted(path for path in self.cache.glob('*') if path != self.folder):
            for part in sorted(folder.glob('*.h5'))[:1]:
                origin = file_origin(part)
                found[str(folder)] = [key for key in self.made_by if origin.get(key) != self.made_by[key]]
        return found
