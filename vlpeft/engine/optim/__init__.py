"""Optimiser wrappers: mixed precision on any device, and only trainable parameters in the optimiser."""

from .amp import MixedPrecisionOptimWrapper
from .constructor import TrainableOptimWrapperConstructor

__all__ = ['MixedPrecisionOptimWrapper', 'TrainableOptimWrapperConstructor']
