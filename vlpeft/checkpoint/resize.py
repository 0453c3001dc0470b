"""Tables of another length: the kinds whose geometry may change, and nothing else."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

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

    The patch part of a tower's ``pos_embed`` (1, 1+N, D) is interpolated bicubically on its square grid, the class
    token kept; along T ``temporal_embedding.table`` (1, T, D) linearly, and TimeSformer's ``time_embed`` (1, T, D) by
    taking the nearest.

    Args:
        key: Our key.
        source: The embedding of the checkpoint.
        target: The model's; only its shape is used.

    Returns:
        In the shape of ``target``; None if this key is no such embedding or cannot be resized.
    """
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

    grids = [math.isqrt(tokens - 1) for tokens in (source.shape[1], length)]
    if [side**2 + 1 for side in grids] != [source.shape[1], length]:
        return None
    return resize_pos_embed(source, *((side, side) for side in grids), mode='bicubic', num_extra_tokens=1)
