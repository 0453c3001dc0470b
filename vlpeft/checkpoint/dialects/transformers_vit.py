"""transformers' Dinov2 and ViT, bare or below a task's model: queries, keys and values apart, LayerScale named."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...registry import DIALECTS
from ..errors import CheckpointError
from .base import Dialect, weights_of
from .keymap import KeyMap
from .names import VISION_HOMES

_PREFIX = re.compile(r'(dinov2|vit)\.')
_LAYER = 'encoder.layer.{i}'
_PATCHES = 'embeddings.patch_embeddings.projection.weight'
_QUERY, _JOINED = '.attention.attention.query.', '.attention.attention.qkv.'
_KEYMAP = KeyMap(
    [
        (f'encoder.{ours}', theirs)
        for ours, theirs in [
            ('cls_token', 'embeddings.cls_token'),
            ('pos_embed', 'embeddings.position_embeddings'),
            ('patch_embed.projection.{wb}', 'embeddings.patch_embeddings.projection.{wb}'),
            ('layers.{i}.attn.qkv.{wb}', f'{_LAYER}{_JOINED}{{wb}}'),
            ('layers.{i}.attn.proj.{wb}', f'{_LAYER}.attention.output.dense.{{wb}}'),
            ('ln1.{wb}', 'layernorm.{wb}'),
            # Dinov2.
            ('layers.{i}.ln1.{wb}', f'{_LAYER}.norm1.{{wb}}'),
            ('layers.{i}.attn.gamma1.weight', f'{_LAYER}.layer_scale1.lambda1'),
            ('layers.{i}.ln2.{wb}', f'{_LAYER}.norm2.{{wb}}'),
            ('layers.{i}.ffn.layers.0.0.{wb}', f'{_LAYER}.mlp.fc1.{{wb}}'),
            ('layers.{i}.ffn.layers.1.{wb}', f'{_LAYER}.mlp.fc2.{{wb}}'),
            ('layers.{i}.ffn.w12.{wb}', f'{_LAYER}.mlp.weights_in.{{wb}}'),
            ('layers.{i}.ffn.w3.{wb}', f'{_LAYER}.mlp.weights_out.{{wb}}'),
            ('layers.{i}.ffn.gamma2.weight', f'{_LAYER}.layer_scale2.lambda1'),
            # ViT.
            ('layers.{i}.ln1.{wb}', f'{_LAYER}.layernorm_before.{{wb}}'),
            ('layers.{i}.ln2.{wb}', f'{_LAYER}.layernorm_after.{{wb}}'),
            ('layers.{i}.ffn.layers.0.0.{wb}', f'{_LAYER}.intermediate.dense.{{wb}}'),
            ('layers.{i}.ffn.layers.1.{wb}', f'{_LAYER}.output.dense.{{wb}}'),
        ]
    ]
)


@DIALECTS.register_module(name='transformers_vit')
class TransformersViTDialect(Dialect):
    """transformers' Dinov2 and ViT (.bin, .safetensors); the vision tower alone, read only."""

    name = 'transformers_vit'
    homes = VISION_HOMES
    ignored = [
        (r'classifier\.', 'the classifier of images'),
        (r'((dinov2|vit)\.)?pooler\.', 'the pooler of classifiers'),
        (r'((dinov2|vit)\.)?embeddings\.mask_token$', 'it stands for patches hidden in training'),
    ]

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """The name of the patch embedding, and attention's."""
        keys = {_PREFIX.sub('', key, count=1) for key in weights_of(checkpoint)}
        return _PATCHES in keys and any(_QUERY in key for key in keys)

    def to_vlpeft(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """The state dict in our keys: queries, keys and values joined."""
        weights = weights_of(checkpoint)
        for key in [key for keys in self.ignored_keys(weights).values() for key in keys]:
            del weights[key]
        weights = {_PREFIX.sub('', key, count=1): value for key, value in weights.items()}
        for query in [key for key in weights if _QUERY in key]:
            parts = [weights.pop(query.replace('query', role)) for role in ('query', 'key', 'value')]
            weights[query.replace(_QUERY, _JOINED)] = torch.cat(parts)
        return {_KEYMAP.to_ours(key) or f'encoder.{key}': value for key, value in weights.items()}

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Raises:
        CheckpointError: Always.
        """
        raise CheckpointError('the transformers_vit layout is read only; write timm_vit instead')
