"""BLIP as mmpretrain converted it: ``{state_dict: {vision_backbone.*, text_backbone.*, vision_neck, …}, meta}``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .base import RenamingDialect
from .blip import TASK_PARTS, TRAINING_ONLY
from .keymap import KeyMap, same, under
from .names import DECODER, MMPRETRAIN_HEADS, TEXT, VISION

_WITH_MOMENTUM = ('vision_backbone', 'text_backbone', 'vision_neck', 'text_neck')


@DIALECTS.register_module(name='mmpretrain')
class MMPretrainDialect(RenamingDialect):
    """mmpretrain's converted BLIP (BlipRetrieval, BlipVQA); backbone and heads."""

    name = 'mmpretrain'
    towers = ('vision', 'text', 'decoder')
    texts = ('text_backbone', 'vqa_head.decoder.bert')
    places = [('vision_backbone.', 'vision.'), ('text_backbone.', 'text.'), ('vqa_head.decoder.', 'decoder.')]
    keymap = KeyMap(
        [
            *under('vision', 'vision_backbone', same(ours for ours, _ in VISION)),
            *under('text', 'text_backbone', same(TEXT)),
            *under('decoder', 'vqa_head.decoder', same(DECODER)),
            *MMPRETRAIN_HEADS,
        ]
    )
    aliases = KeyMap(
        [
            ('temp', 'head.temp'),
            ('vqa_head.decoder.cls.predictions.decoder.bias', 'vqa_head.decoder.cls.predictions.bias'),
        ]
    )
    ties = [
        ('vqa_head.decoder.bert.embeddings.word_embeddings.weight', 'vqa_head.decoder.cls.predictions.decoder.weight')
    ]
    optional_parts = TASK_PARTS
    # BlipVQA calls the text tower by this name.
    synonyms = KeyMap([('text_backbone.{rest}', 'multimodal_backbone.{rest}')])
    ignored = [
        (
            r'(vision_backbone|text_backbone|vision_neck|text_neck)_m\.',
            'momentum copies, made anew from the loaded weights',
        ),
        (r'head\.(image_queue|text_queue|idx_queue|queue_ptr)$', 'feature queues, filled anew'),
        (r'(text_backbone|multimodal_backbone|vqa_head\.decoder\.bert)\.embeddings\.position_ids$', 'a constant'),
    ]
    dropped = [(r'(adapter\.|temporal_embedding\.)', "mmpretrain's layout holds no adapter"), *TRAINING_ONLY]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """mmpretrain's names of BLIP's towers."""
        return any(key.startswith(('vision_backbone.', 'text_backbone.', 'multimodal_backbone.')) for key in weights)

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """Under ``state_dict``, with the momentum copies that mmpretrain does not make again after loading."""
        momentum = {}
        for key, value in weights.items():
            part, _, rest = key.partition('.')
            if part in _WITH_MOMENTUM:
                momentum[f'{part}_m.{rest}'] = value
        return dict(state_dict={**weights, **momentum}, meta={})
