"""Task models: towers, heads and an adapter wired for one task."""

from .base import AdaptedModel
from .image_text_lm import ImageTextLM
from .perceptual_lm import PerceptualLM
from .retriever import Retriever
from .seq2seq import VLSeq2Seq
from .vqa import GenerativeVQA

__all__ = ['AdaptedModel', 'GenerativeVQA', 'ImageTextLM', 'PerceptualLM', 'Retriever', 'VLSeq2Seq']
