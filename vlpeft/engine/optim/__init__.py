"""Optimiser wrappers: mixed precision on any device, only trainable parameters in the optimiser; schedules."""

from .amp import MixedPrecisionOptimWrapper
from .constructor import TrainableOptimWrapperConstructor
from .warmup_cosine import WarmupCosineLR

__all__ = ['MixedPrecisionOptimWrapper', 'TrainableOptimWrapperConstructor', 'WarmupCosineLR']
