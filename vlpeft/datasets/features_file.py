"""Files of stored visual features, and writing them so that a run killed at any moment goes on where it was.

Two layouts hold the same: ``{root}/{name}.h5`` with group ``name`` and dataset ``features`` (N, F), one file per image
as in VL-PET's release; and one packed file of all images with four datasets:

* ``features`` (n, N, F), the features of image i in row i;
* ``names`` (n,), fixed-length UTF-8;
* ``done`` (n,) uint8, 1 where the row holds features;
* ``crc`` (n,) uint32, of name and features of each row; earlier files lack it.

Either layout finds flipped bits when features are read: HDF5 checks files of one image itself (Fletcher-32).
"""

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vlpeft.atomic import remove_unfinished, write_atomically

# Rows that a growing file is copied by: some 50 MB of released features.
BLOCK = 256
ORIGIN = 'extraction.json'
LARGEST = 1 << 30  # bytes; a damaged or hostile head may claim any size


def open_hdf5(path: str | Path, mode: str = 'r', **kwargs):
    """``h5py.File``. Files that are read are not locked: network drives often refuse, and a writer may be at work.

    Raises:
        ImportError: h5py is not installed.
        OSError: Not a readable HDF5 file.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError('HDF5 features need h5py: pip install h5py') from error
    return h5py.File(path, mode, locking=False if mode == 'r' else None, **kwargs)


def dataset_of(file, name: str):
    """A dataset that lies in an open file itself.

    HDF5 files can name others that are then read in their place: by external links, as virtual datasets and as external
    storage.

    Args:
        file (h5py.File): Open.
        name: Groups and name, joined by ``/``.

    Returns:
        h5py.Dataset: None if there is no dataset of that name.

    Raises:
        ValueError: It lies elsewhere.
    """
    import h5py

    place = file
    for part in name.split('/'):
        if not isinstance(place, h5py.Group) or place.get(part, getlink=True) is None:
            return None
        if not isinstance(place.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"'{name}' is a link to elsewhere, which is not followed")
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        return None
    if place.is_virtual or place.external:
        raise ValueError(f"'{name}' says that its values are in other files, which are not read")
    return place


class FeatureFolder:
    """Writes one HDF5 file per image; each appears whole or not at all.

    Args:
        root: The folder, made if absent. Files that are there count as done.
        made_by: How the features are made, JSON values; kept in ``extraction.json``. Empty for features that came from
            elsewhere.

    Raises:
        ValueError: The folder holds features made in another way.
    """

    def __init__(self, root: str | Path, made_by: Mapping[str, object]) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self._done = set(stored_names(self.root))
        record = folder_origin(self.root)
        if self._done or record:
            _check_origin(self.root, record, made_by)
        remove_unfinished(self.root)
        text = json.dumps(made_by, indent=1)
        write_atomically(self.root / ORIGIN, lambda part: Path(part).write_text(text))

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that have no features yet."""
        return [name for name in names if name not in self._done]

    def write(self, names: Sequence[str], features: np.ndarray) -> None:
        """Store features (B, N, F) of B images."""
        for name, array in zip(names, features, strict=True):
            write_atomically(self.root / f'{name}.h5', lambda part: _write_single(part, name, array))
            self._done.add(name)

    def close(self) -> None:
        """Nothing is open between writes."""


class PackedFeatures:
    """Writes one packed file. Names it lacks are added, so the same call starts a file, goes on with it and extends it.

    The structure of the file is on disk before its first features are, and a row is marked done after its features have
    reached the disk: whenever a run ends, the file is valid and says which rows it holds.

    Args:
        path: The file.
        names: Names of the images, each once.
        shape: Cells N and dims F.
        made_by: How the features are made, JSON values; kept as attribute ``made_by``.
        dtype: Stored type. Defaults to 'float16'.

    Raises:
        ValueError: The file holds features of another shape or type, or made in another way, or another process is
            writing it.
    """

    def __init__(
        self,
        path: str | Path,
        names: Sequence[str],
        shape: tuple[int, int],
        made_by: Mapping[str, object],
        dtype: str = 'float16',
    ) -> None:
        self.path = Path(path)
        layout = dict(shape=tuple(shape), dtype=np.dtype(dtype))
        if not self.path.is_file():
            write_atomically(self.path, lambda part: _create(part, names, made_by, **layout))
        else:
            self._check(names, made_by, **layout)
        try:
            self._file = open_hdf5(self.path, 'r+')
        except BlockingIOError as error:
            raise ValueError(f'{self.path} is being written by another process') from error
        self._rows = {name: row for row, name in enumerate(read_names(self._file))}
        self._done = self._file['done'][()].astype(bool)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that have no features yet."""
        return [name for name in names if not self._done[self._rows[name]]]

    def write(self, names: Sequence[str], features: np.ndarray) -> None:
        """Store features (B, N, F) of B images."""
        rows = [self._rows[name] for name in names]
        # HDF5 rounds in a way of its own, and the checksum is of what lies in the file.
        features = np.asarray(features).astype(self._file['features'].dtype)
        for row, name, array in zip(rows, names, features, strict=True):
            self._file['features'][row] = array
            if 'crc' in self._file:
                self._file['crc'][row] = row_crc(name, array)
        self._sync()
        for row in rows:
            self._file['done'][row] = 1
        self._sync()
        self._done[rows] = True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.id.get_vfd_handle())

    def _check(self, names: Sequence[str], made_by: Mapping[str, object], shape: tuple, dtype: np.dtype) -> None:
        """Compare the file with what is to be written, and grow it if names are new."""
        with open_hdf5(self.path) as old:
            if 'made_by' not in old.attrs:
                raise ValueError(f'{self.path} is there and no packed file that these tools made; choose another place')
            _check_origin(self.path, json.loads(old.attrs['made_by']), made_by)
            features = old['features']
            if (features.shape[1:], features.dtype) != (shape, dtype):
                raise ValueError(
                    f'{self.path} holds features {features.shape[1:]} {features.dtype}, not {shape} '
                    f'{dtype}; choose another file'
                )
            there = read_names(old)
            known = set(there)
            new = [name for name in names if name not in known]
            if new:
                write_atomically(self.path, lambda part: _grow(part, old, there + new, made_by, shape, dtype))


def stored_names(root: str | Path) -> list[str]:
    """Names of the images that have a file in a folder of one file per image, sorted."""
    return sorted(entry.name[:-3] for entry in os.scandir(root) if entry.name.endswith('.h5'))


def folder_origin(root: str | Path) -> dict:
    """How the features in a folder were made; empty if it does not say."""
    record = Path(root) / ORIGIN
    return json.loads(record.read_text()) if record.is_file() else {}


def file_origin(path: str | Path) -> dict:
    """How the features in a packed file were made; empty if it does not say."""
    with open_hdf5(path) as file:
        return json.loads(file.attrs.get('made_by', '{}'))


def read_names(file) -> list[str]:
    """Names of the rows of an open packed file."""
    return [name.decode() for name in column(file, 'names').tolist()]


def column(file, name: str) -> np.ndarray:
    """What an open packed file says of each row: ``names``, ``done`` or ``crc``.

    Raises:
        ValueError: It lies elsewhere or claims more than 1 GiB.
    """
    stored = dataset_of(file, name)
    if stored is None:
        raise ValueError(f"no dataset '{name}'")
    if stored.nbytes > LARGEST:
        raise ValueError(f"'{name}' claims {stored.nbytes / 2**30:,.1f} GiB, more than 1")
    return stored[()]


def row_crc(name: str, features: np.ndarray) -> int:
    """CRC-32 of a row's name and features as they lie in the file."""
    return zlib.crc32(np.ascontiguousarray(features), zlib.crc32(name.encode()))


def _write_single(path: str, name: str, features: np.ndarray) -> None:
    with open_hdf5(path, 'w') as file:
        file.create_group(name).create_dataset('features', data=features, chunks=features.shape, fletcher32=True)


def _create(path: str, names: Sequence[str], made_by: Mapping[str, object], shape: tuple, dtype: np.dtype) -> None:
    import h5py

    # The earliest file format has no flag that a killed writer would leave behind.
    with open_hdf5(path, 'w', libver='earliest') as file:
        file.attrs['made_by'] = json.dumps(made_by)
        encoded = [name.encode() for name in names]
        file.create_dataset('names', data=encoded, dtype=h5py.string_dtype('utf-8', max(map(len, encoded))))
        file.create_dataset('done', data=np.zeros(len(names), np.uint8))
        file.create_dataset('crc', data=np.zeros(len(names), np.uint32))
        # Space is reserved now, so that later writes leave the structure of the file alone.
        options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        options.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((len(names), *shape))
        h5py.h5d.create(file.id, b'features', h5py.h5t.py_create(dtype), space, options)


def _grow(path: str, old, names: Sequence[str], made_by: Mapping[str, object], shape: tuple, dtype: np.dtype) -> None:
    _create(path, names, made_by, shape, dtype)
    with open_hdf5(path, 'r+') as new:
        for start in range(0, len(old['done']), BLOCK):
            rows = slice(start, min(start + BLOCK, len(old['done'])))
            features = old['features'][rows]
            new['features'][rows] = features
            new['done'][rows] = old['done'][rows]
            new['crc'][rows] = (
                old['crc'][rows] if 'crc' in old else [row_crc(name, row) for name, row in zip(names[rows], features)]
            )


def _check_origin(where: Path, stored: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    wanted = json.loads(json.dumps(wanted))  # as it reads when stored: lists for tuples
    differing = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key)]
    if differing:
        lines = [f'  {key}: there {stored.get(key)}, now {wanted.get(key)}' for key in differing]
        raise ValueError('\n'.join([f'{where} holds features made in another way; choose another place', *lines]))
