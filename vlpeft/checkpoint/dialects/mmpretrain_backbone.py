"""mmpretrain's checkpoints of one vision backbone: classifiers, self-supervised pre-training, bare state dicts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .keymap import KeyMap
from .tower import TowerDialect

_PATCHES = 'patch_embed.projection.weight'


@DIALECTS.register_module(name='mmpretrain_backbone')
class MMPretrainBackboneDialect(TowerDialect):
    """mmpretrain's classifiers and self-supervised models (DINOv2, BEiT, EVA-02, CLIP, …); the vision tower alone."""

    name = 'mmpretrain_backbone'
    prefix = 'backbone.'
    keymap = KeyMap([('{rest}', '{rest}')])
    ignored = [
        (r'(neck|head|target_generator|data_preprocessor)\.', 'parts of other tasks'),
        (r'(backbone\.)?ln2\.', 'the norm of averaged tokens, for classifiers'),
        (r'(backbone\.)?mask_token$', 'it stands for patches hidden in training'),
    ]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """mmpretrain's name of its backbone or, below no prefix, of a transformer's patch embedding."""
        return _PATCHES in weights or any(key.startswith(self.prefix) for key in weights)

    def prefix_of(self, weights: Mapping[str, Tensor]) -> str:
        """A bare state dict has none."""
        return '' if _PATCHES in weights else self.prefix

    def names(self, tower: Mapping[str, Tensor]) -> int:
        """All of them, of what looks at images: by a convolution."""
        return len(tower) if any(value.ndim == 4 for value in tower.values()) else 0

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """Under ``state_dict``."""
        return dict(state_dict=weights, meta={})
