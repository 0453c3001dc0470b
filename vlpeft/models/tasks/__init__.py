"""Task models: towers, heads and an adapter wired for one task."""

from .base import AdaptedModel
from .retriever import Retriever

__all__ = ['AdaptedModel', 'Retriever']
