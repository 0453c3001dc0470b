"""Layouts of released checkpoints, and finding the one that a checkpoint has."""

from .base import Dialect, weights_of
from .blip import BlipDialect
from .clip import ClipDialect
from .detect import detect, dialect_names, get_dialect
from .mmpretrain import MMPretrainDialect
from .mmpretrain_backbone import MMPretrainBackboneDialect
from .transformers_seq2seq import TransformersSeq2SeqDialect
from .uniadapter import UniAdapterDialect
from .vl_pet import VLPETDialect, VLPETVideoDialect
from .vlpeft import VlpeftDialect

__all__ = [
    'BlipDialect', 'ClipDialect', 'Dialect', 'MMPretrainBackboneDialect', 'MMPretrainDialect',
    'TransformersSeq2SeqDialect', 'UniAdapterDialect', 'VLPETDialect', 'VLPETVideoDialect', 'VlpeftDialect', 'detect',
    'dialect_names', 'get_dialect', 'weights_of'
]
