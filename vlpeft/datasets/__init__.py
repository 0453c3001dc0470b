"""Datasets: annotations of clips, captions and questions; readers and transforms turn clips into frames."""

from .annotations import AnnotationError
from .audiocaps import AudioCaps
from .base_caption import BaseCaption
from .base_clips import BaseClips
from .base_qa import BaseQA
from .base_retrieval import BaseRetrieval
from .coco_caption import COCOCaption
from .didemo import DiDeMoRetrieval
from .gqa import GQA
from .jsonl import JSONLRetrieval
from .jsonl_caption import JSONLCaption
from .jsonl_chat import JSONLChat
from .jsonl_qa import JSONLQA
from .karpathy import KarpathyRetrieval
from .karpathy_caption import KarpathyCaption
from .msrvtt import MSRVTTRetrieval
from .msvd import MSVDRetrieval
from .multi_task import MultiTaskDataset
from .nlvr2 import NLVR2
from .readers import ClipError
from .unreadable import UnreadableClipsError
from .value import VALUECaptions, VALUEQuestions
from .video_caption import VideoCaption
from .video_qa import VideoQA
from .vlmeval import VLMEvalTSV
from .vqav2 import VQAv2

__all__ = [
    'AnnotationError',
    'AudioCaps',
    'BaseCaption',
    'BaseClips',
    'BaseQA',
    'BaseRetrieval',
    'COCOCaption',
    'ClipError',
    'DiDeMoRetrieval',
    'GQA',
    'JSONLCaption',
    'JSONLChat',
    'JSONLQA',
    'JSONLRetrieval',
    'KarpathyCaption',
    'KarpathyRetrieval',
    'MSRVTTRetrieval',
    'MSVDRetrieval',
    'MultiTaskDataset',
    'NLVR2',
    'UnreadableClipsError',
    'VALUECaptions',
    'VALUEQuestions',
    'VLMEvalTSV',
    'VQAv2',
    'VideoCaption',
    'VideoQA',
]
