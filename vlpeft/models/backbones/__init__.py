"""Backbones that no library has in the form needed here."""

from .appended_vision import AppendedVision
from .attention import CrossContext, KeyValue, attend
from .blip_decoder import BlipTextDecoder
from .blip_text import BlipTextEncoder, SelfCache
from .clip_text import ClipTextEncoder
from .grid_tower import GridTower, to_cells
from .seq2seq_lm import build_seq2seq_lm
from .vision import check_vision_tower
from .visual_embedding import VisualEmbedding

__all__ = [
    'AppendedVision', 'BlipTextDecoder', 'BlipTextEncoder', 'ClipTextEncoder', 'CrossContext', 'GridTower', 'KeyValue',
    'SelfCache', 'VisualEmbedding', 'attend', 'build_seq2seq_lm', 'check_vision_tower', 'to_cells'
]
