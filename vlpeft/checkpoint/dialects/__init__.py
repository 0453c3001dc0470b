"""Layouts of released checkpoints, and finding the one that a checkpoint has."""

from .audio_spectrogram_transformer import ASTDialect
from .augreg import AugRegDialect
from .base import Dialect
from .bert import BertDialect
from .blip import BlipDialect
from .clip import ClipDialect
from .detect import detect, dialect_names, get_dialect
from .epalm import EPALMDialect
from .mmpretrain import MMPretrainDialect
from .mmpretrain_backbone import MMPretrainBackboneDialect
from .timesformer import TimeSformerDialect
from .timm_vit import TimmViTDialect
from .tower import TowerDialect
from .transformers_causal_lm import TransformersCausalLMDialect
from .transformers_seq2seq import TransformersSeq2SeqDialect
from .transformers_vit import TransformersViTDialect
from .uniadapter import UniAdapterDialect
from .vl_pet import VLPETDialect, VLPETVideoDialect
from .vlpeft import VlpeftDialect

__all__ = [
    'ASTDialect',
    'AugRegDialect',
    'BertDialect',
    'BlipDialect',
    'ClipDialect',
    'Dialect',
    'EPALMDialect',
    'MMPretrainBackboneDialect',
    'MMPretrainDialect',
    'TimeSformerDialect',
    'TimmViTDialect',
    'TowerDialect',
    'TransformersCausalLMDialect',
    'TransformersSeq2SeqDialect',
    'TransformersViTDialect',
    'UniAdapterDialect',
    'VLPETDialect',
    'VLPETVideoDialect',
    'VlpeftDialect',
    'detect',
    'dialect_names',
    'get_dialect',
]
