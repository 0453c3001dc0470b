"""AST's released checkpoints: timm's distilled DeiT after ``module.v.``, and a classifier of sounds."""

from collections.abc import Mapping

from torch import Tensor

from ...registry import DIALECTS
from .keymap import KeyMap
from .names import VISION
from .tower import TowerDialect


@DIALECTS.register_module(name='ast')
class ASTDialect(TowerDialect):
    """AST's released .pth (AudioSet, Speech Commands); the encoder alone."""

    name = 'ast'
    prefix = 'module.v.'
    keymap = KeyMap([*VISION, ('dist_token', 'dist_token')])
    ignored = [
        (r'module\.mlp_head\.', 'the classifier of sounds'),
        (r'module\.v\.head(_dist)?\.', "DeiT's classifiers of images, unused in AST"),
    ]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """The names of the distillation token and of the patch embedding."""
        return {'module.v.dist_token', 'module.v.patch_embed.proj.weight'} <= set(weights)
