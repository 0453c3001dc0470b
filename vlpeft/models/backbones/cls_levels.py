"""What an encoder knows at several depths: its pooled vector after each of its last blocks."""

import torch
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

from .timesformer import TimeSformer
from .transformers_vision import TransformersVision

KNOWN = 'mmpretrain.VisionTransformer and what derives from it, AST, TimeSformer, TransformersVision'
WANTED = dict(with_cls_token=True, final_norm=True)


def cls_levels(encoder: nn.Module, inputs: Tensor, levels: int) -> Tensor:
    """The class token after each of the last ``levels`` blocks, all through the encoder's final norm.

    Of a tower of transformers it is what the tower pools to: SigLIP, which has no class token, pools by its head.

    Args:
        encoder: mmpretrain's ``VisionTransformer``, :class:`AST`, :class:`TimeSformer` or :class:`TransformersVision`;
            it stays as it is.
        inputs: What the encoder takes: images (B, 3, H, W), spectrograms (B, frames, bins), clips (B, T, 3, H, W).
        levels: K.

    Returns:
        (B, K, D), shallow to deep; the last is the encoder's normal pooled vector.

    Raises:
        ValueError: Another class, a vision transformer without class token or final norm, or fewer than K blocks.
    """
    _check(encoder, levels)
    has_own_pool = isinstance(encoder, TransformersVision)
    found: list[Tensor] = []

    def keep(module: nn.Module, args: tuple, out: Tensor | tuple) -> None:
        stream = out[0] if isinstance(out, tuple) else out
        found.append(encoder.pool(stream) if has_own_pool else stream[:, 0])

    handles = [layer.register_forward_hook(keep) for layer in encoder.layers[-levels:]]
    try:
        encoder(inputs)
    finally:
        for handle in handles:
            handle.remove()
    states = torch.stack(found, dim=1)
    return states if has_own_pool else encoder.ln1(states)


def _check(encoder: nn.Module, levels: int) -> None:
    kind = type(encoder).__name__
    if not isinstance(encoder, (VisionTransformer, TimeSformer, TransformersVision)):
        raise ValueError(f'no levels are known of the encoder {kind}; there are: {KNOWN}')
    for name, wanted in WANTED.items():
        if isinstance(encoder, VisionTransformer) and getattr(encoder, name) != wanted:
            raise ValueError(f'the encoder {kind} has {name}={getattr(encoder, name)!r}; set encoder.{name}={wanted!r}')
    if not 1 <= levels <= len(encoder.layers):
        raise ValueError(f'levels={levels}; the encoder {kind} has {len(encoder.layers)} blocks')
