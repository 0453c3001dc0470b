"""Checking the sets of a config: files that are missing, damaged or mistaken, and splits that overlap."""

from .check import Report, check
from .findings import KINDS, Finding
from .sets import SPLITS, CheckedSet, read_sets

__all__ = ['KINDS', 'SPLITS', 'CheckedSet', 'Finding', 'Report', 'check', 'read_sets']
