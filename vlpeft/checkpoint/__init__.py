"""Checkpoints: fetching, reading, converting between layouts, loading with a report.

Importing this package only registers the safe globals of MMEngine checkpoints; the rest lives in its files:
``download.fetch``, ``files.read_checkpoint``, ``load.load_into``, ``adapter.export_safetensors``, ``dialects``.
"""

from .errors import CheckpointError
from .safe_globals import register_safe_globals

__all__ = ['CheckpointError', 'register_safe_globals']

register_safe_globals()
