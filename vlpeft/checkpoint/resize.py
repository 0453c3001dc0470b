"""Tables of another length: the kinds whose geometry may change, and nothing else."""

import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor

VISION_POSITIONS = re.compile(r'(^|\.)vision_model\.embeddings\.position_embeddings?(\.weight)?$')
WORDS = ('shared.weight', 'embed_tokens.weight', 'wte.weight', 'lm_head.weight')


def grow_words(key: str, source: Tensor, target: Tensor, added: int = 0) -> Tensor | None:
    """Word embeddings (V, D) of a vocabulary that was added to: the file's rows, then the model's own.

    Args:
        key: Our key.
        source: The table of the checkpoint.
        target: The model's.
        added: Rows that a table of another kind may have more than the checkpoint's. Defaults to 0.

    Returns:
        In the shape of ``target``; None if this key is no such table or it would shrink.
    """
    if source.ndim != 2 or target.ndim != 2:
        return None
    more = len(target) - len(source)
    grows = more >= 0 if key.endswith(WORDS) else 0 < more == added
    if not grows or source.shape[1:] != target.shape[1:]:
        return None
    # On the meta device there are shapes only: what the file lacks is zero.
    rest = torch.zeros_like(target[len(source) :], device='cpu') if target.is_meta else target[len(source) :]
    return torch.cat([source.to(rest), rest])


def resize_embedding(key: str, source: Tensor, target: Tensor) -> Tensor | None:
    """Bring an embedding of another image size or frame count to the model's.

    The patch part of a tower's ``pos_embed`` (1, 1+N, D), in transformers' vision towers (K+N, D), is interpolated
    bicubically on its square grid, a class token kept; along T ``temporal_embedding.table`` (1, T, D) linearly, and
    TimeSformer's ``time_embed`` (1, T, D) by taking the nearest.

    Args:
        key: Our key.
        source: The embedding of the checkpoint.
        target: The model's; only its shape is used.

    Returns:
        In the shape of ``target``; None if this key is no such embedding or cannot be resized.
    """
    if VISION_POSITIONS.search(key) and source.ndim == target.ndim and source.shape[-1] == target.shape[-1]:
        flat = source.reshape(1, -1, source.shape[-1])
        resized = _resize_patches(flat, target.numel() // target.shape[-1])
        return None if resized is None else resized.reshape(target.shape)
    if source.ndim != 3 or source.shape[::2] != target.shape[::2]:
        return None
    if key.endswith('.pos_embed'):
        return _resize_patches(source, target.shape[1])
    if key.endswith('temporal_embedding.table'):
        return _resize_times(source, target.shape[1], 'linear')
    if key.endswith('.time_embed'):
        return _resize_times(source, target.shape[1], 'nearest')
    return None


def _resize_times(source: Tensor, length: int, mode: str) -> Tensor:
    return F.interpolate(source.float().transpose(1, 2), size=length, mode=mode).transpose(1, 2).to(source.dtype)


def _resize_patches(source: Tensor, length: int) -> Tensor | None:
    from mmpretrain.models.utils import resize_pos_embed

    for extra in (1, 0):
        grids = [math.isqrt(tokens - extra) for tokens in (source.shape[1], length)]
        if [side**2 + extra for side in grids] == [source.shape[1], length]:
            sides = ((side, side) for side in grids)
            return resize_pos_embed(source, *sides, mode='bicubic', num_extra_tokens=extra)
    return None
