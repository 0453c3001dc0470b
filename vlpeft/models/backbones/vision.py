"""The protocol of vision towers: what every task model asks of one, whichever library has built it.

A tower has ``embed_dims`` (D), ``img_size`` (H, W) and ``num_extra_tokens`` (K: class and register tokens, which stand
before the patches; 0 where there are none). Of normalised images (B, 3, H, W) it makes :class:`Seen`, or, as
mmpretrain's do with ``out_type='raw'``, a tuple whose last entry is all tokens. :func:`see` reads both.
"""

from typing import NamedTuple

from torch import Tensor, nn

KNOWN = 'vlpeft.TransformersVision, mmpretrain.VisionTransformer, mmpretrain.BEiTViT, mmpretrain.ViTEVA02'
WANTED = ('embed_dims', 'img_size', 'num_extra_tokens')


class Seen(NamedTuple):
    """What a tower makes of B images: ``tokens`` (B, K + N, D), and ``pooled`` (B, D), one vector for each image."""

    tokens: Tensor
    pooled: Tensor


def check_vision_tower(tower: nn.Module) -> None:
    """Makes sure that a tower keeps to the protocol.

    Whether a final norm is applied to the tokens is the tower's own affair: mmpretrain's BEiT and EVA-02 were trained
    without, transformers' CLIP with one of the class token alone.

    Raises:
        ValueError: Names the attribute that is missing or has another value.
    """
    kind = type(tower).__name__
    if missing := [name for name in WANTED if not hasattr(tower, name)]:
        raise ValueError(f'the vision tower {kind} has no {", ".join(missing)}; known to work are {KNOWN}')
    if (found := getattr(tower, 'out_type', 'raw')) != 'raw':
        raise ValueError(
            f"the vision tower {kind} has out_type={found!r}; set vision.out_type='raw', so that it returns all tokens"
        )


def see(tower: nn.Module, images: Tensor) -> Seen:
    """Tokens and pooled vectors of images (B, 3, H, W).

    A tower that does not pool by itself is pooled by its first token, the class token; one without by the mean.
    """
    output = tower(images)
    if isinstance(output, Seen):
        return output
    tokens = output[-1]
    return Seen(tokens, tokens[:, 0] if tower.num_extra_tokens else tokens.mean(1))
