"""The original files of "How to train your ViT?" (augreg): flax arrays in a .npz."""

import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ...registry import DIALECTS
from .base import Dialect

_BLOCK = 'Transformer/encoderblock_{i}'
_ATTENTION = f'{_BLOCK}/MultiHeadDotProductAttention_1'
_FIRST = re.compile(r'Transformer/encoderblock_(\d+)/LayerNorm_0/scale')


@DIALECTS.register_module(name='augreg')
class AugRegDialect(Dialect):
    """Google's ViT of "How to train your ViT?" (.npz); the encoder alone, read only."""

    name = 'augreg'
    tower = 'vision'
    read_only = 'its files are arrays of flax (.npz), which vlpeft does not write; write timm_vit instead'
    ignored = [(r'(head|pre_logits)/', 'the classifier of images')]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """The name of a block's first norm."""
        return any(_FIRST.fullmatch(key) for key in weights)

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tower in our keys: inputs last, heads joined, queries, keys and values fused; unknown keys stay."""
        weights = self.kept(weights)
        unread = set(weights) - set(_known(weights))
        state = dict(cls_token=weights['cls'], pos_embed=weights['Transformer/posembed_input/pos_embedding'])
        state['patch_embed.projection.weight'] = weights['embedding/kernel'].permute(3, 2, 0, 1)
        state['patch_embed.projection.bias'] = weights['embedding/bias']

        def norm(ours: str, theirs: str) -> None:
            state[f'{ours}.weight'], state[f'{ours}.bias'] = weights[f'{theirs}/scale'], weights[f'{theirs}/bias']

        def linear(ours: str, *theirs: str) -> None:
            state[f'{ours}.weight'] = torch.cat([_matrix(weights, name) for name in theirs])
            state[f'{ours}.bias'] = torch.cat([weights[f'{name}/bias'].flatten() for name in theirs])

        for i in _depths(weights):
            block, attention = _BLOCK.format(i=i), _ATTENTION.format(i=i)
            norm(f'layers.{i}.ln1', f'{block}/LayerNorm_0')
            linear(f'layers.{i}.attn.qkv', *(f'{attention}/{role}' for role in ('query', 'key', 'value')))
            linear(f'layers.{i}.attn.proj', f'{attention}/out')
            norm(f'layers.{i}.ln2', f'{block}/LayerNorm_2')
            linear(f'layers.{i}.ffn.layers.0.0', f'{block}/MlpBlock_3/Dense_0')
            linear(f'layers.{i}.ffn.layers.1', f'{block}/MlpBlock_3/Dense_1')
        norm('ln1', 'Transformer/encoder_norm')
        state.update({key: weights[key] for key in unread})
        return state


def _matrix(weights: Mapping[str, Tensor], name: str) -> Tensor:
    # Heads are an axis of their own: of the output of queries, keys and values, of the input of what joins them.
    kernel = weights[f'{name}/kernel']
    return (kernel.flatten(0, 1) if name.endswith('/out') else kernel.flatten(1)).T


def _known(weights: Mapping[str, Tensor]) -> Iterator[str]:
    """All names that a ViT of as many blocks has."""
    yield from ('cls', 'Transformer/posembed_input/pos_embedding', 'embedding/kernel', 'embedding/bias')
    norms, linears = ['Transformer/encoder_norm'], []
    for i in _depths(weights):
        block, attention = _BLOCK.format(i=i), _ATTENTION.format(i=i)
        norms += [f'{block}/LayerNorm_0', f'{block}/LayerNorm_2']
        linears += [
            *(f'{attention}/{role}' for role in ('query', 'key', 'value', 'out')),
            *(f'{block}/MlpBlock_3/Dense_{n}' for n in (0, 1)),
        ]
    yield from (f'{name}/{leaf}' for name in norms for leaf in ('scale', 'bias'))
    yield from (f'{name}/{leaf}' for name in linears for leaf in ('kernel', 'bias'))


def _depths(weights: Mapping[str, Tensor]) -> Sequence[str]:
    return [match[1] for match in map(_FIRST.fullmatch, weights) if match]
