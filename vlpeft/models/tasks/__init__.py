"""Task models: towers, heads and an adapter wired for one task."""

from .base import AdaptedModel
from .retriever import Retriever
from .seq2seq import VLSeq2Seq
from .vqa import GenerativeVQA

__all__ = ['AdaptedModel', 'GenerativeVQA', 'Retriever', 'VLSeq2Seq']
