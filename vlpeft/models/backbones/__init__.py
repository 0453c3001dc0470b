"""Backbones that no library has in the form needed here."""

from .appended_vision import AppendedVision
from .attention import CrossContext, KeyValue, Projected, attend
from .audio_spectrogram_transformer import AST
from .blip_decoder import BlipTextDecoder
from .blip_text import BlipTextEncoder, SelfCache
from .causal_lm import build_causal_lm
from .clip_text import ClipTextEncoder
from .cls_levels import cls_levels
from .grid_tower import GridTower, to_cells
from .lead import Lead
from .seq2seq_lm import build_seq2seq_lm, given
from .siglip_text import SiglipTextEncoder
from .slotted_lm import SlottedLM
from .timesformer import TimeSformer
from .transformers_vision import TransformersVision
from .vision import Seen, check_vision_tower, see
from .visual_embedding import VisualEmbedding

__all__ = [
    'AST',
    'AppendedVision',
    'BlipTextDecoder',
    'BlipTextEncoder',
    'ClipTextEncoder',
    'CrossContext',
    'GridTower',
    'KeyValue',
    'Projected',
    'Lead',
    'Seen',
    'SelfCache',
    'SiglipTextEncoder',
    'SlottedLM',
    'TimeSformer',
    'TransformersVision',
    'VisualEmbedding',
    'attend',
    'build_causal_lm',
    'build_seq2seq_lm',
    'check_vision_tower',
    'cls_levels',
    'given',
    'see',
    'to_cells',
]
