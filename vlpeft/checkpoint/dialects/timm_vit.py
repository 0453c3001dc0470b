"""timm's VisionTransformer, which eP-ALM takes with the weights of "How to train your ViT?" (augreg)."""

from typing import Any, Dict, Mapping

from torch import Tensor

from ...registry import DIALECTS
from .base import RenamingDialect, weights_of
from .keymap import KeyMap
from .names import VISION

#: What other parts of a model do not find in the file of an encoder.
ENCODER_ONLY = [(r'(?!encoder\.)', 'the layout holds an encoder only')]


@DIALECTS.register_module(name='timm_vit')
class TimmViTDialect(RenamingDialect):
    """timm's VisionTransformer (.pth, .bin, .safetensors); the encoder alone."""

    name = 'timm_vit'
    texts = ()
    keymap = KeyMap([(f'encoder.{ours}', theirs) for ours, theirs in VISION])
    ignored = [(r'head\.', 'the classifier of images')]
    dropped = ENCODER_ONLY

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """timm's name of the patch embedding, below no prefix."""
        return 'patch_embed.proj.weight' in weights_of(checkpoint)

    def wrap(self, weights: Dict[str, Tensor]) -> Dict[str, Any]:
        """As it is."""
        return weights
