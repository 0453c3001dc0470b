"""Task models: towers, heads and an adapter wired for one task."""

from .base import AdaptedModel
from .perceptual_lm import PerceptualLM
from .retriever import Retriever
from .seq2seq import VLSeq2Seq
from .vqa import GenerativeVQA

__all__ = ['AdaptedModel', 'GenerativeVQA', 'PerceptualLM', 'Retriever', 'VLSeq2Seq']
