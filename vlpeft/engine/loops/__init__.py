"""Evaluation loops."""

from .multi_task import MultiTaskTestLoop, MultiTaskValLoop
from .retrieval import RetrievalTestLoop, RetrievalValLoop

__all__ = ['MultiTaskTestLoop', 'MultiTaskValLoop', 'RetrievalTestLoop', 'RetrievalValLoop']
