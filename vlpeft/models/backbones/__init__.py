"""Backbones that no library has in the form needed here."""

from .attention import CrossContext, KeyValue, attend
from .blip_decoder import BlipTextDecoder
from .blip_text import BlipTextEncoder, SelfCache

__all__ = ['BlipTextDecoder', 'BlipTextEncoder', 'CrossContext', 'KeyValue', 'SelfCache', 'attend']
