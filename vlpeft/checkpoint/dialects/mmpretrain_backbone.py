"""mmpretrain's checkpoints of one vision backbone: classifiers, self-supervised pre-training, bare state dicts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .base import RenamingDialect, weights_of
from .keymap import KeyMap
from .names import VISION_HOMES

_BACKBONE, _PATCHES = 'backbone.', 'patch_embed.projection.weight'


@DIALECTS.register_module(name='mmpretrain_backbone')
class MMPretrainBackboneDialect(RenamingDialect):
    """mmpretrain's classifiers and self-supervised models (DINOv2, BEiT, EVA-02, CLIP, …); the vision tower alone."""

    name = 'mmpretrain_backbone'
    texts = ()
    homes = VISION_HOMES[::-1]
    keymap = KeyMap([('vision.{rest}', 'backbone.{rest}')])
    ignored = [
        (r'(neck|head|target_generator|data_preprocessor)\.', 'parts of other tasks'),
        (r'(backbone\.)?ln2\.', 'the norm of averaged tokens, for classifiers'),
        (r'(backbone\.)?mask_token$', 'it stands for patches hidden in training'),
    ]
    dropped = [(r'(?!(encoder|vision)\.)', 'the layout holds a vision tower only')]

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """mmpretrain's name of its backbone or, below no prefix, of a transformer's patch embedding."""
        weights = weights_of(checkpoint)
        return _PATCHES in weights or any(key.startswith(_BACKBONE) for key in weights)

    def to_vlpeft(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """The state dict in our keys; a bare one gets its prefix."""
        weights = weights_of(checkpoint)
        if _PATCHES in weights:
            left_out = {key for keys in self.ignored_keys(weights).values() for key in keys}
            weights = {f'{_BACKBONE}{key}': value for key, value in weights.items() if key not in left_out}
        return super().to_vlpeft(weights)

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """Under ``state_dict``."""
        return dict(state_dict=weights, meta={})
