"""What a reader of stored visual features is: an array of cells for a name."""

import math
import os
from abc import ABC, abstractmethod
from itertools import islice

import numpy as np

from ..features_file import LARGEST
from .base import ClipError, check_file, check_finite, decoding


class FeatureReader(ABC):
    """Reads stored features by the name of their image or video.

    Args:
        shape: Expected cells N and dims F; None allows any. Defaults to (None, None).
    """

    def __init__(self, shape: tuple[int | None, int | None] = (None, None)) -> None:
        self.shape = tuple(shape)

    @abstractmethod
    def path_of(self, name: str) -> str:
        """Where the features of ``name`` lie, for messages: a file, or its place in one, ``file[name]``."""

    @abstractmethod
    def find(self, name: str) -> None:
        """Raise :class:`ClipError` unless there are features of ``name``; they are not read."""

    @abstractmethod
    def read(self, name: str) -> np.ndarray:
        """Features of an image or video.

        Args:
            name: Its name (id).

        Returns:
            (N, F) in the stored float type, in the byte order of this machine.

        Raises:
            ClipError: There are none, they cannot be read, they have another shape, or hold NaN or Inf.
        """

    def check_shape(self, path: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Raise :class:`ClipError` unless features are floats of the expected shape and of at most 1 GiB."""
        fits = len(shape) == 2 and all(want in (None, got) for want, got in zip(self.shape, shape))
        if not fits or 0 in shape or not (np.issubdtype(dtype, np.floating) and dtype.itemsize <= 8):
            cells, dims = ('any' if size is None else size for size in self.shape)
            raise ClipError(
                path,
                f'features have shape {tuple(shape)} and type {dtype}, expected floats ({cells} cells, {dims} dims)',
            )
        if math.prod(map(int, shape)) * dtype.itemsize > LARGEST:
            raise ClipError(
                path, f'features claim {math.prod(map(int, shape)) * dtype.itemsize / 2**30:,.1f} GiB, more than 1'
            )


def checked(path: str, features: np.ndarray) -> np.ndarray:
    """Stored features in the byte order of this machine; :class:`ClipError` if there is NaN or Inf among them."""
    features = features.astype(features.dtype.newbyteorder('='), copy=False)
    check_finite(path, features, 'features')
    return features


class FeatureFolderReader(FeatureReader):
    """Features with one file per image or video, ``{root}/{name}{suffix}``. A subclass reads a file (:meth:`load`).

    Args:
        root: The folder.
        shape: As :class:`FeatureReader`. Defaults to (None, None).
    """

    suffix = ''

    def __init__(self, root: str, shape: tuple[int | None, int | None] = (None, None)) -> None:
        super().__init__(shape)
        self.root = root

    @abstractmethod
    def load(self, path: str, name: str) -> np.ndarray:
        """The array in the file of ``name``; a subclass checks what it claims to be (:meth:`check_shape`) before it
        takes memory for it. Any exception means a file of another kind or a damaged one.

        Raises:
            ClipError: The file holds no features, or others.
        """

    def path_of(self, name: str) -> str:
        return os.path.join(self.root, f'{name}{self.suffix}')

    def find(self, name: str) -> None:
        self._check_name(name)
        self._check_there(self.path_of(name))

    def read(self, name: str) -> np.ndarray:
        path = self.path_of(name)
        self._check_name(name)
        try:
            with decoding(path, f'not a readable *{self.suffix} file, or truncated'):
                features = self.load(path, name)
        except ClipError:
            self._check_there(path)
            raise
        return checked(path, features)

    def _check_name(self, name: str) -> None:
        if os.path.basename(name) != name:  # annotations come from others: no way out of the folder
            raise ClipError(self.path_of(name), f"'{name}' is a path, expected the name of a file in {self.root}")

    def _check_there(self, path: str) -> None:
        try:
            check_file(path)
        except ClipError as error:
            raise ClipError(path, f'{error.reason}; {self._hint()}', error.kind) from error

    def _hint(self) -> str:
        if not os.path.isdir(self.root):
            return f'there is no folder {self.root}'
        names = list(islice((entry.name for entry in os.scandir(self.root) if entry.name.endswith(self.suffix)), 3))
        return f'files there: {", ".join([*names, "…"]) if names else f"no *{self.suffix}"}'
