"""Samplers: which samples make a batch."""

from .task_mixing import TaskMixingBatchSampler

__all__ = ['TaskMixingBatchSampler']
