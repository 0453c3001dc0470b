"""Heads: small trained parts on top of the towers, swapped by config."""

from .itc import FeatureQueue, Features, ITCHead
from .itm import ITMHead, sample_negatives

__all__ = ['FeatureQueue', 'Features', 'ITCHead', 'ITMHead', 'sample_negatives']
