"""Backbones, heads and task models."""

from vlpeft.quiet import import_mmpretrain

import_mmpretrain()

from . import backbones, heads, tasks  # noqa: E402
from .chat_preprocessor import ChatDataPreprocessor  # noqa: E402
from .data_preprocessor import ClipDataPreprocessor, FeatureDataPreprocessor  # noqa: E402
from .momentum import MomentumWeights  # noqa: E402
from .parameters import count_parameters  # noqa: E402

__all__ = [
    'ChatDataPreprocessor',
    'ClipDataPreprocessor',
    'FeatureDataPreprocessor',
    'MomentumWeights',
    'backbones',
    'count_parameters',
    'heads',
    'tasks',
]
