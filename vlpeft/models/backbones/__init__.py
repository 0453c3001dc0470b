"""Backbones that no library has in the form needed here."""

from .attention import CrossContext, KeyValue, attend
from .blip_decoder import BlipTextDecoder
from .blip_text import BlipTextEncoder, SelfCache
from .clip_text import ClipTextEncoder
from .vision import check_vision_tower

__all__ = [
    'BlipTextDecoder', 'BlipTextEncoder', 'ClipTextEncoder', 'CrossContext', 'KeyValue', 'SelfCache', 'attend',
    'check_vision_tower'
]
