"""Registered metrics."""

from .base import ExactlyOnceMetric
from .retrieval import RetrievalMetric

__all__ = ['ExactlyOnceMetric', 'RetrievalMetric']
