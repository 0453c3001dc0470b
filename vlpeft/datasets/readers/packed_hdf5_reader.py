"""Reader of the features of a whole set in one HDF5 file."""

import os
from typing import BinaryIO, NamedTuple

import numpy as np

from ...registry import READERS
from ..features_file import column, dataset_of, open_hdf5, read_names, row_crc
from .base import ClipError, check_file, decoding
from .features import FeatureReader, checked

DATASETS = ('features', 'names', 'done')


class Opened(NamedTuple):
    """The file of a reader: ``rows`` by name, which of them are ``done`` (n,) bool, their ``crc`` (n,) or None, and
    where the features lie.
    """

    file: BinaryIO
    rows: dict[str, int]
    done: np.ndarray
    crc: np.ndarray | None
    offset: int
    shape: tuple[int, int]
    dtype: np.dtype


@READERS.register_module()
class PackedHDF5Reader(FeatureReader):
    """Features of a whole set in one HDF5 file (layout: ``vlpeft.datasets.features_file``).

    The file is opened once, on the first read. Its structure is read through HDF5; the features lie in it as one plain
    array, which is then read directly: that takes a third less time, and no state of the HDF5 library gets into forked
    workers.

    Args:
        file: The file.
        shape: Expected cells N and dims F; None allows any. Defaults to (None, None).
    """

    def __init__(self, file: str, shape: tuple[int | None, int | None] = (None, None)) -> None:
        super().__init__(shape)
        self.file = file
        self._opened = None

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _opened=None)

    def names(self) -> list[str]:
        """Names of the images that have features, in the order of the rows."""
        opened = self._open()
        return [name for name, row in opened.rows.items() if opened.done[row]]

    def path_of(self, name: str) -> str:
        # The name belongs to the path: unreadable samples are listed by path.
        return f'{self.file}[{name}]'

    def find(self, name: str) -> None:
        self._row(name)

    def read(self, name: str) -> np.ndarray:
        opened, path, row = self._open(), self.path_of(name), self._row(name)
        features = np.empty(opened.shape, opened.dtype)
        # A read at an offset: processes that share the file do not move each other's position.
        if os.preadv(opened.file.fileno(), [features], opened.offset + row * features.nbytes) < features.nbytes:
            raise ClipError(path, 'truncated: the file ends before')
        if opened.crc is not None and opened.crc[row] != row_crc(name, features):
            raise ClipError(path, 'damaged: its checksum is not the one that was written')
        return checked(path, features)

    def _row(self, name: str) -> int:
        opened, path = self._open(), self.path_of(name)
        row = opened.rows.get(name)
        if row is None:
            raise ClipError(
                path,
                f'no such name; the file holds {len(opened.rows):,} names such as {", ".join(list(opened.rows)[:3])}',
                'missing',
            )
        if not opened.done[row]:
            raise ClipError(
                path,
                f'not stored yet: {int(opened.done.sum()):,} of {len(opened.done):,} are; run the '
                'tool that writes the file again',
                'missing',
            )
        return row

    def _open(self) -> Opened:
        if self._opened is None:
            check_file(self.file)
            with decoding(self.file, 'not a readable HDF5 file, or truncated'), open_hdf5(self.file) as file:
                self._opened = self._read_structure(file)
        return self._opened

    def _read_structure(self, file) -> Opened:
        absent = [name for name in DATASETS if name not in file]
        if absent:
            raise ClipError(
                self.file,
                f"no dataset '{absent[0]}'; a packed file holds {', '.join(DATASETS)}, this one "
                f'{", ".join(file) or "nothing"}',
            )
        features = dataset_of(file, 'features')
        if features is None:
            raise ClipError(self.file, "'features' is no dataset")
        self.check_shape(self.file, features.shape[1:], features.dtype)
        offset = features.id.get_offset()
        if offset is None:
            raise ClipError(self.file, 'its features are chunked or compressed, a packed file holds them contiguously')
        rows = {name: row for row, name in enumerate(read_names(file))}
        done, crc = column(file, 'done').astype(bool), column(file, 'crc') if 'crc' in file else None
        return Opened(open(self.file, 'rb', buffering=0), rows, done, crc, offset, features.shape[1:], features.dtype)
