"""AST's released checkpoints: timm's distilled DeiT after ``module.v.``, and a classifier of sounds."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .base import RenamingDialect, weights_of
from .keymap import KeyMap, under
from .names import VISION
from .timm_vit import ENCODER_ONLY


@DIALECTS.register_module(name='ast')
class ASTDialect(RenamingDialect):
    """AST's released .pth (AudioSet, Speech Commands); the encoder alone."""

    name = 'ast'
    texts = ()
    places = [('module.v.', 'encoder.')]
    keymap = KeyMap(under('encoder', 'module.v', [*VISION, ('dist_token', 'dist_token')]))
    ignored = [
        (r'module\.mlp_head\.', 'the classifier of sounds'),
        (r'module\.v\.head(_dist)?\.', "DeiT's classifiers of images, unused in AST"),
    ]
    dropped = ENCODER_ONLY

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """The name of the patch embedding."""
        return 'module.v.patch_embed.proj.weight' in weights_of(checkpoint)

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """As it is."""
        return weights
