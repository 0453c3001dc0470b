"""Optimisers and their wrappers: mixed precision on any device, only trainable parameters; schedules."""

from .amp import MixedPrecisionOptimWrapper
from .constructor import TrainableOptimWrapperConstructor
from .hf_adamw import HFAdamW
from .warmup_cosine import WarmupCosineLR
from .warmup_linear import WarmupLinear

__all__ = [
    'HFAdamW',
    'MixedPrecisionOptimWrapper',
    'TrainableOptimWrapperConstructor',
    'WarmupCosineLR',
    'WarmupLinear',
]
