"""Readers: frames of videos and images by index."""

from .base import BaseReader, ClipError, ClipInfo
from .decord_reader import DecordReader
from .image_reader import ImageReader
from .pyav_reader import PyAVReader

__all__ = ['BaseReader', 'ClipError', 'ClipInfo', 'DecordReader', 'ImageReader', 'PyAVReader']
