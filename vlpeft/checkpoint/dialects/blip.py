"""BLIP's official checkpoints: the towers, projections, ITM head and temperature, under ``model``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .base import RenamingDialect
from .keymap import KeyMap, same, under
from .names import DECODER, HEADS, TEXT, VISION

BLIP_NAMES = [
    *under('vision', 'visual_encoder', VISION),
    *under('text', 'text_encoder', same(TEXT)),
    *under('decoder', 'text_decoder', same(DECODER)),
    *HEADS,
]
# The bias of the vocabulary projection has two names.
BLIP_ALIASES = [('text_decoder.cls.predictions.decoder.bias', 'text_decoder.cls.predictions.bias')]
BLIP_TIES = [('text_decoder.bert.embeddings.word_embeddings.weight', 'text_decoder.cls.predictions.decoder.weight')]
BLIP_PLACES = [('visual_encoder.', 'vision.'), ('text_encoder.', 'text.'), ('text_decoder.', 'decoder.')]
BLIP_TEXTS = ('text_encoder', 'text_decoder.bert')
BLIP_IGNORED = [
    (
        r'(visual_encoder|text_encoder|vision_proj|text_proj|adapters)_m\.',
        'momentum copies, made anew from the loaded weights',
    ),
    (r'(image_queue|text_queue|idx_queue|ptr_queue|queue_ptr)$', 'feature queues, filled anew'),
    (r'(text_encoder|text_decoder\.bert)\.embeddings\.position_ids$', 'a constant'),
]
TASK_PARTS = ('decoder', 'itc_head', 'itm_head')
TRAINING_ONLY = [
    (r'momentum\.', 'momentum copies belong to training'),
    (r'queue\.', 'feature queues belong to training'),
]


@DIALECTS.register_module(name='blip')
class BlipDialect(RenamingDialect):
    """BLIP's official .pth (pre-training, retrieval or VQA), key ``model``; backbone and heads."""

    name = 'blip'
    towers = ('vision', 'text', 'decoder')
    texts = BLIP_TEXTS
    places = BLIP_PLACES
    keymap = KeyMap(BLIP_NAMES)
    aliases = KeyMap(BLIP_ALIASES)
    ties = BLIP_TIES
    optional_parts = TASK_PARTS
    ignored = BLIP_IGNORED
    dropped = [(r'(adapter\.|temporal_embedding\.)', "BLIP's own layout holds no adapter"), *TRAINING_ONLY]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """BLIP's tower names, and no adapter of UniAdapter."""
        adapted = any(key.startswith('adapters.') or '.adapter.' in key for key in weights)
        return has_blip_towers(weights) and not adapted

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """Under ``model``."""
        return dict(model=weights)


def has_blip_towers(keys: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has one of BLIP's towers under its official name."""
    return any(key.startswith(('visual_encoder.', 'text_encoder.')) for key in keys)
