"""Checkpoints: fetching, reading, converting between layouts, loading with a report.

The way of a file into a model: ``download.fetch``, ``Checkpoint.read`` (``files``), ``translate.translate``
(``dialects``), ``fit.fit`` (``places``, ``tied``, ``resize``), the rules (``unread`` for a base, ``coverage`` for all
else), ``load.put``. ``load_into``, ``base.load_base`` and ``trained.load_trained`` go it; ``write`` goes it backwards.
"""

from .checkpoint import Checkpoint
from .errors import CheckpointError
from .safe_globals import register_safe_globals

__all__ = ['Checkpoint', 'CheckpointError', 'register_safe_globals']

register_safe_globals()
