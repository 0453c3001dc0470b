"""Datasets: annotations of clips and captions; readers and transforms turn them into frames."""

from .annotations import AnnotationError
from .base_retrieval import BaseRetrieval
from .jsonl import JSONLRetrieval
from .msrvtt import MSRVTTRetrieval
from .readers import ClipError
from .unreadable import UnreadableClipsError

__all__ = ['AnnotationError', 'BaseRetrieval', 'ClipError', 'JSONLRetrieval', 'MSRVTTRetrieval', 'UnreadableClipsError']
