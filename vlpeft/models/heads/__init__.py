"""Heads: small trained parts on top of the towers, swapped by config."""

from .contrastive import ContrastiveHead, Features
from .itc import FeatureQueue, ITCHead
from .itm import ITMHead, sample_negatives
from .sigmoid_itc import SigmoidITCHead
from .token_connector import TokenConnector

__all__ = [
    'ContrastiveHead',
    'FeatureQueue',
    'Features',
    'ITCHead',
    'ITMHead',
    'SigmoidITCHead',
    'TokenConnector',
    'sample_negatives',
]
