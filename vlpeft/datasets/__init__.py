"""Datasets: annotations of clips, captions and questions; readers and transforms turn clips into frames."""

from .annotations import AnnotationError
from .base_clips import BaseClips
from .base_qa import BaseQA
from .base_retrieval import BaseRetrieval
from .didemo import DiDeMoRetrieval
from .jsonl import JSONLRetrieval
from .jsonl_qa import JSONLQA
from .karpathy import KarpathyRetrieval
from .msrvtt import MSRVTTRetrieval
from .msvd import MSVDRetrieval
from .readers import ClipError
from .unreadable import UnreadableClipsError
from .video_qa import VideoQA
from .vqav2 import VQAv2

__all__ = [
    'AnnotationError', 'BaseClips', 'BaseQA', 'BaseRetrieval', 'ClipError', 'DiDeMoRetrieval', 'JSONLQA',
    'JSONLRetrieval', 'KarpathyRetrieval', 'MSRVTTRetrieval', 'MSVDRetrieval', 'UnreadableClipsError', 'VQAv2',
    'VideoQA'
]
