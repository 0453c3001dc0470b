"""timm's VisionTransformer: augreg's of eP-ALM, DINOv2, DeiT-III; Meta's own files have the same names."""

import math
from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from ...registry import DIALECTS
from .keymap import KeyMap
from .names import VISION, VISION_EXTRAS
from .tower import TowerDialect

_SWIGLU = [(f'layers.{{i}}.ffn.{name}.{{wb}}', f'blocks.{{i}}.mlp.{name}.{{wb}}') for name in ('w12', 'w3')]


@DIALECTS.register_module(name='timm_vit')
class TimmViTDialect(TowerDialect):
    """timm's VisionTransformer, DINOv2 and DeiT-III (.pth, .bin, .safetensors); the vision tower alone."""

    name = 'timm_vit'
    flat = True
    keymap = KeyMap([*VISION, *VISION_EXTRAS, *_SWIGLU])
    # DeiT-III's own files.
    synonyms = KeyMap([(f'blocks.{{i}}.ls{n}.gamma', f'blocks.{{i}}.gamma_{n}') for n in (1, 2)])
    ignored = [
        (r'(head|pre_logits)\.', 'the classifier of images'),
        (r'fc_norm\.', 'the norm of averaged tokens, for classifiers'),
        (r'mask_token$', 'it stands for patches hidden in training'),
    ]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """timm's name of the patch embedding, below no prefix."""
        return 'patch_embed.proj.weight' in weights

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tower in our keys. A class token without position, as DeiT-III's, gets one of zeros."""
        state = super().to_vlpeft(weights)
        positions = state.get('pos_embed')
        if positions is not None and math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
            state['pos_embed'] = F.pad(positions, (0, 0, 1, 0))
        return state
