"""transformers' Dinov2 and ViT, bare or below a task's model: queries, keys and values apart, LayerScale named.

The tower of a model may be mmpretrain's, or transformers' own, whose names have changed in transformers 5; files have
the former ones.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from ...registry import DIALECTS
from ..errors import CheckpointError
from .base import Dialect
from .keymap import KeyMap

_PREFIX = re.compile(r'(dinov2|vit)\.')
_LAYER = 'encoder.layer.{i}'
_PATCHES = 'embeddings.patch_embeddings.projection.weight'
_ROLES = ('query', 'key', 'value')
_QUERY, _JOINED = '.attention.attention.query.', '.attention.attention.qkv.'
_COMMON = [
    ('cls_token', 'embeddings.cls_token'),
    ('pos_embed', 'embeddings.position_embeddings'),
    ('patch_embed.projection.{wb}', 'embeddings.patch_embeddings.projection.{wb}'),
    ('layers.{i}.attn.qkv.{wb}', f'{_LAYER}{_JOINED}{{wb}}'),
    ('layers.{i}.attn.proj.{wb}', f'{_LAYER}.attention.output.dense.{{wb}}'),
    ('ln1.{wb}', 'layernorm.{wb}'),
]
_DINOV2 = [
    ('layers.{i}.ln1.{wb}', f'{_LAYER}.norm1.{{wb}}'),
    ('layers.{i}.attn.gamma1.weight', f'{_LAYER}.layer_scale1.lambda1'),
    ('layers.{i}.ln2.{wb}', f'{_LAYER}.norm2.{{wb}}'),
    ('layers.{i}.ffn.layers.0.0.{wb}', f'{_LAYER}.mlp.fc1.{{wb}}'),
    ('layers.{i}.ffn.layers.1.{wb}', f'{_LAYER}.mlp.fc2.{{wb}}'),
    ('layers.{i}.ffn.w12.{wb}', f'{_LAYER}.mlp.weights_in.{{wb}}'),
    ('layers.{i}.ffn.w3.{wb}', f'{_LAYER}.mlp.weights_out.{{wb}}'),
    ('layers.{i}.ffn.gamma2.weight', f'{_LAYER}.layer_scale2.lambda1'),
]
_VIT = [
    ('layers.{i}.ln1.{wb}', f'{_LAYER}.layernorm_before.{{wb}}'),
    ('layers.{i}.ln2.{wb}', f'{_LAYER}.layernorm_after.{{wb}}'),
    ('layers.{i}.ffn.layers.0.0.{wb}', f'{_LAYER}.intermediate.dense.{{wb}}'),
    ('layers.{i}.ffn.layers.1.{wb}', f'{_LAYER}.output.dense.{{wb}}'),
]
_MASK = (r'((dinov2|vit)\.)?embeddings\.mask_token$', 'it stands for patches hidden in training')
#: Part of a name in files -> in the library since 5, in the order in which they are replaced.
_SINCE_5 = {
    'attention.attention.query': 'attention.q_proj',
    'attention.attention.key': 'attention.k_proj',
    'attention.attention.value': 'attention.v_proj',
    'attention.output.dense': 'attention.o_proj',
    'mlp.weights_out': 'mlp.down_proj',
}
_VIT_SINCE_5 = {'encoder.layer.': 'layers.', 'intermediate.dense': 'mlp.fc1', 'output.dense': 'mlp.fc2'}
_GATED = 'mlp.weights_in.'
_READ = KeyMap([*_COMMON, *_DINOV2, *_VIT])
_WRITTEN = dict(dinov2=KeyMap([*_COMMON, *_DINOV2]), vit=KeyMap([*_COMMON, *_VIT]))


@DIALECTS.register_module(name='transformers_vit')
class TransformersViTDialect(Dialect):
    """transformers' Dinov2 and ViT (.bin, .safetensors), bare where written; the vision tower alone."""

    name = 'transformers_vit'
    flat = True
    tower = 'vision'
    ignored = [
        (r'classifier\.', 'the classifier of images'),
        (r'((dinov2|vit)\.)?pooler\.', 'the pooler of classifiers'),
        _MASK,
    ]
    #: Keys of transformers' own tower that it is read for; empty: the tower is mmpretrain's.
    own: Collection[str] = ()

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """The name of the patch embedding, and attention's."""
        keys = {_PREFIX.sub('', key, count=1) for key in weights}
        return _PATCHES in keys and any(_QUERY in key for key in keys)

    def for_model(self, keys: Collection[str]) -> 'TransformersViTDialect':
        """As it is read into a model whose vision tower is transformers' own."""
        layout = type(self)()
        layout.own = [key.partition('vision_model.')[2] for key in keys if '.vision_model.' in key]
        if 'embeddings.mask_token' in layout.own:
            layout.ignored = [rule for rule in self.ignored if rule != _MASK]
        return layout

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tower in our keys: for mmpretrain's queries, keys and values are joined."""
        weights = {_PREFIX.sub('', key, count=1): value for key, value in self.kept(weights).items()}
        if self.own:
            named = _named_since_5(weights, self.own) if any('q_proj' in key for key in self.own) else weights
            return {f'vision_model.{key}': value for key, value in named.items()}
        for query in [key for key in weights if _QUERY in key]:
            parts = [weights.pop(query.replace('query', role)) for role in _ROLES]
            weights[query.replace(_QUERY, _JOINED)] = torch.cat(parts)
        return {_READ.to_ours(key) or key: value for key, value in weights.items()}

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """As ``from_pretrained`` reads it: Dinov2's names for a tower with LayerScale, which ViT has not.

        Raises:
            CheckpointError: Such a model has no place for a key.
        """
        keymap = _keymap(state)
        names = {key: keymap.to_theirs(key) for key in state}
        if unknown := [key for key, name in names.items() if name is None]:
            raise CheckpointError(
                f'the {self.name} layout has no place for {len(unknown)} keys: ' + ', '.join(unknown[:5])
            )
        weights = {}
        for key, name in names.items():
            if _JOINED in name:
                parts = zip(_ROLES, state[key].chunk(3))
                weights.update({name.replace('qkv', role): part.clone() for role, part in parts})
            else:
                weights[name] = state[key]
        return weights

    def names(self, tower: Mapping[str, Tensor]) -> int:
        """How many weights of a tower, by keys below it, the table has."""
        return sum(_READ.to_theirs(key) is not None for key in tower)


def _named_since_5(weights: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """Weights by the names of transformers 5, the first map of a gated FFN in its two parts."""
    renames = {**_SINCE_5, **(_VIT_SINCE_5 if any(key.startswith('layers.') for key in own) else {})}
    named = {}
    for key, value in weights.items():
        for old, new in renames.items():
            key = key.replace(old, new)
        if _GATED in key:
            for part, name in zip(value.chunk(2), ('mlp.gate_proj.', 'mlp.up_proj.')):
                named[key.replace(_GATED, name)] = part
        else:
            named[key] = value
    return named


def _keymap(keys: Collection[str]) -> KeyMap:
    return _WRITTEN['dinov2' if any(key.endswith('.gamma1.weight') for key in keys) else 'vit']
