"""mmpretrain's checkpoints of one vision backbone: classifiers and self-supervised pre-training."""

from typing import Any, Dict, Mapping

from torch import Tensor

from ...registry import DIALECTS
from .base import RenamingDialect, weights_of
from .keymap import KeyMap


@DIALECTS.register_module(name='mmpretrain_backbone')
class MMPretrainBackboneDialect(RenamingDialect):
    """mmpretrain's classifiers and self-supervised models (DINOv2, BEiT, EVA-02, CLIP, …); the vision tower alone."""

    name = 'mmpretrain_backbone'
    texts = ()
    keymap = KeyMap([('vision.{rest}', 'backbone.{rest}')])
    ignored = [(r'(neck|head|target_generator|data_preprocessor)\.', 'parts of other tasks')]
    dropped = [(r'(?!vision\.)', 'the layout holds a vision tower only')]

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """mmpretrain's name of its backbone."""
        return any(key.startswith('backbone.') for key in weights_of(checkpoint))

    def wrap(self, weights: Dict[str, Tensor]) -> Dict[str, Any]:
        """Under ``state_dict``."""
        return dict(state_dict=weights, meta={})
