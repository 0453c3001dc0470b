"""What task models expect of a vision tower, whichever class it is."""

from torch import nn

KNOWN = 'mmpretrain.VisionTransformer, mmpretrain.BEiTViT, mmpretrain.ViTEVA02'
WANTED = dict(out_type='raw', with_cls_token=True)


def check_vision_tower(tower: nn.Module) -> None:
    """Makes sure that ``tower(images)[-1]`` is (B, N, D), the CLS token first, and that its sizes are known.

    Whether a final norm is applied is the tower's own affair: mmpretrain's BEiT and EVA-02 were trained without.

    Raises:
        ValueError: Names the attribute that is missing or has another value.
    """
    kind = type(tower).__name__
    missing = [name for name in (*WANTED, 'embed_dims', 'img_size') if not hasattr(tower, name)]
    if missing:
        raise ValueError(f'the vision tower {kind} has no {", ".join(missing)}; known to work are {KNOWN}')
    for name, wanted in WANTED.items():
        if (found := getattr(tower, name)) != wanted:
            raise ValueError(
                f'the vision tower {kind} has {name}={found!r}; set vision.{name}={wanted!r}, '
                'so that it returns all tokens with CLS first'
            )
