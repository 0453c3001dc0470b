"""BLIP with UniAdapter as the released code computes it: explicit attention, keys and values projected for every pair.

Everything is a function of a released checkpoint's tensors by their released names, so that what is computed can be
read from top to bottom. Nothing is shared, trimmed or fused.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

MASKED = -10000.0


def linear(x: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    """x Wᵀ + b."""
    return F.linear(x, weights[f'{name}.weight'], weights[f'{name}.bias'])


def norm(x: Tensor, weights: Mapping[str, Tensor], name: str, eps: float) -> Tensor:
    """LayerNorm over the last axis."""
    return F.layer_norm(x, x.shape[-1:], weights[f'{name}.weight'], weights[f'{name}.bias'], eps)


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Explicit attention of (B, L, D) on (B, S, D); ``mask`` is added to the scores (B, heads, L, S)."""
    query, key, value = (states.unflatten(-1, (heads, -1)).transpose(1, 2) for states in (query, key, value))
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores + mask
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


class PlainBlip:
    """The towers.

    Args:
        weights: Of a released UniAdapter checkpoint, ``visual_encoder.…``, ``text_encoder.…``, ``adapters.…``.
        heads: Heads of every attention.
        frames: T of a clip.
    """

    def __init__(self, weights: Mapping[str, Tensor], heads: int, frames: int) -> None:
        self.weights, self.heads, self.frames = weights, heads, frames
        self.depth = 1 + max(int(key.split('.')[2]) for key in weights if key.startswith('visual_encoder.blocks.'))

    def code(self, x: Tensor, adapter: str) -> Tensor:
        """The bottleneck's code, shared by the modalities."""
        return linear(
            norm(x, self.weights, f'{adapter}.adapter_layer_norm_before', 1e-5), self.weights, f'{adapter}.down_proj'
        ).relu()

    def adapter(self, x: Tensor, adapter: str, modality: str) -> Tensor:
        """What the adapter of one depth adds, of ``modality`` ``'visual'``, ``'text'`` or ``'multimodal'``."""
        code = self.code(x, adapter)
        if modality == 'visual':
            return 0.1 * linear(code, self.weights, f'{adapter}.visual_up_proj')
        up = linear(code, self.weights, f'{adapter}.up_proj')
        if modality == 'multimodal':
            up = linear(code, self.weights, f'{adapter}.multi_up_proj') + up
            up = norm(up, self.weights, f'{adapter}.adapter_layer_norm_cross_modal', 1e-5)
        return 0.1 * up

    def vision(self, images: Tensor, copy: str = '') -> Tensor:
        """Tokens (B, N, D) of images (B, 3, H, W); ``copy`` is ``'_m'`` for the momentum copy."""
        tower, own = f'visual_encoder{copy}', self.weights
        patch = own[f'{tower}.patch_embed.proj.weight']
        x = F.conv2d(images, patch, own[f'{tower}.patch_embed.proj.bias'], stride=patch.shape[-1])
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([own[f'{tower}.cls_token'].expand(len(x), -1, -1), x], 1) + own[f'{tower}.pos_embed']
        for depth in range(self.depth):
            block = f'{tower}.blocks.{depth}'
            states = linear(norm(x, own, f'{block}.norm1', 1e-6), own, f'{block}.attn.qkv').chunk(3, -1)
            x = x + linear(attention(*states, self.heads), own, f'{block}.attn.proj')
            added = self.adapter(x, f'adapters{copy}.{depth}', 'visual')
            hidden = F.gelu(linear(norm(x, own, f'{block}.norm2', 1e-6), own, f'{block}.mlp.fc1'))
            x = x + linear(hidden, own, f'{block}.mlp.fc2') + added
        return norm(x, own, f'{tower}.norm', 1e-6)

    def changes(self, states: Tensor, encoder: str) -> tuple[Tensor, Tensor] | None:
        """What the key/value adapters of an encoder add to keys and values of ``states``: in every layer the same."""
        own = self.weights
        if f'{encoder}.video_key_adapter.scale' not in own:
            return None
        low = [linear(states, own, f'{encoder}.video_{part}_adapter.down_proj') for part in ('key', 'value')]
        return tuple(
            own[f'{encoder}.video_{part}_adapter.scale'] * linear(code, own, f'{encoder}.video_{part}_adapter.up_proj')
            for part, code in zip(('key', 'value'), low)
        )

    def attend(
        self,
        x: Tensor,
        states: Tensor,
        name: str,
        mask: Tensor | None,
        key_weights: Tensor | None = None,
        changes: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """A post-norm attention branch of BERT; keys and values of ``states`` (P, S, D), one row for each text."""
        own = self.weights
        key, value = linear(states, own, f'{name}.self.key'), linear(states, own, f'{name}.self.value')
        if changes is not None:
            key, value = key + changes[0], value + changes[1]
        if key_weights is not None:
            key = key * key_weights[:, :, None]
        out = attention(linear(x, own, f'{name}.self.query'), key, value, self.heads, mask)
        return norm(linear(out, own, f'{name}.output.dense') + x, own, f'{name}.output.LayerNorm', 1e-12)

    def text(
        self,
        ids: Tensor,
        mask: Tensor,
        states: Tensor | None = None,
        key_weights: Tensor | None = None,
        copy: str = '',
        tower: str = 'text_encoder',
        state_mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """States (P, L, D) of padded texts (P, L), beside vision tokens or question states (P, S, D) if there are any.

        Args:
            ids, mask: Of the texts.
            states: What cross-attention reads. Defaults to None, there is none.
            key_weights: Factors on the cross-attention keys (P, S). Defaults to None.
            copy: ``'_m'`` for the momentum copy.
            tower: ``'text_encoder'`` or ``'text_decoder.bert'``.
            state_mask: Which of ``states`` exist (P, S). Defaults to None, all.
            causal: Whether tokens see those before them only.
        """
        own, length = self.weights, ids.shape[1]
        tower = f'{tower}{copy}'
        changes = None if states is None else self.changes(states, f'{tower}.encoder')
        x = own[f'{tower}.embeddings.word_embeddings.weight'][ids]
        x = x + own[f'{tower}.embeddings.position_embeddings.weight'][:length]
        x = norm(x, own, f'{tower}.embeddings.LayerNorm', 1e-12)
        visible = mask[:, None, None].to(x.dtype)
        if causal:
            visible = visible * torch.ones(length, length, device=x.device, dtype=x.dtype).tril()
        own_mask = (1 - visible) * MASKED
        other_mask = None if state_mask is None else (1 - state_mask[:, None, None].to(x.dtype)) * MASKED
        for depth in range(self.depth):
            layer, adapter = f'{tower}.encoder.layer.{depth}', f'adapters{copy}.{depth}'
            x = self.attend(x, x, f'{layer}.attention', own_mask)
            added = self.adapter(x, adapter, 'text')
            if states is not None:
                x = self.attend(x, states, f'{layer}.crossattention', other_mask, key_weights, changes)
                added = added + self.adapter(x, adapter, 'multimodal')
            hidden = F.gelu(linear(x, own, f'{layer}.intermediate.dense'))
            hidden = linear(hidden, own, f'{layer}.output.dense')
            x = norm(hidden + x, own, f'{layer}.output.LayerNorm', 1e-12) + added
        return x

    def unit(self, states: Tensor, name: str) -> Tensor:
        """Unit-length features of states."""
        return F.normalize(linear(states, self.weights, name), dim=-1)

    def frame_weights(self, text: Tensor, frames: Tensor, tokens_per_frame: int) -> Tensor:
        """Factors on the keys (P, T · N) of text features (P, E) and frame features (P, T, E)."""
        likeness = (frames @ text[:, :, None])[:, :, 0]
        weights = (likeness / 4).softmax(-1) * self.frames
        ones = torch.ones_like(weights)[:, :, None]
        return torch.cat([ones, weights[:, :, None].expand(-1, -1, tokens_per_frame - 1)], 2).flatten(1).detach()
