"""Loops of training and evaluation."""

from .multi_task import MultiTaskTestLoop, MultiTaskValLoop
from .retrieval import RetrievalTestLoop, RetrievalValLoop
from .train import ResumableEpochLoop, ResumableIterLoop

__all__ = [
    'MultiTaskTestLoop',
    'MultiTaskValLoop',
    'ResumableEpochLoop',
    'ResumableIterLoop',
    'RetrievalTestLoop',
    'RetrievalValLoop',
]
