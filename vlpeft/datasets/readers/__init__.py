"""Readers: frames of videos and images by index, sounds, stored features by name."""

from .audio_reader import AudioReader
from .base import BaseReader, ClipError, ClipInfo
from .decord_reader import DecordReader
from .features import FeatureReader
from .hdf5_reader import HDF5Reader
from .image_reader import ImageReader
from .npz_reader import NPZReader
from .packed_hdf5_reader import PackedHDF5Reader
from .pyav_reader import PyAVReader

__all__ = [
    'AudioReader',
    'BaseReader',
    'ClipError',
    'ClipInfo',
    'DecordReader',
    'FeatureReader',
    'HDF5Reader',
    'ImageReader',
    'NPZReader',
    'PackedHDF5Reader',
    'PyAVReader',
]
