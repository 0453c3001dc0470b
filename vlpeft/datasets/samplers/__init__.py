"""Samplers: which samples come when, and with which others."""

from .length_groups import LengthGroupedBatchSampler
from .task_mixing import TaskMixingBatchSampler

__all__ = ['LengthGroupedBatchSampler', 'TaskMixingBatchSampler']
