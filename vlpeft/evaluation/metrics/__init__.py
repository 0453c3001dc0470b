"""Registered metrics."""

from .base import ExactlyOnceMetric
from .open_ended import OpenEndedMetric
from .questions import QuestionMetric
from .retrieval import RetrievalMetric
from .vqa import VQAMetric, VQASubmission

__all__ = [
    'ExactlyOnceMetric', 'OpenEndedMetric', 'QuestionMetric', 'RetrievalMetric', 'VQAMetric', 'VQASubmission'
]
