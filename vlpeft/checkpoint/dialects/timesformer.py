"""TimeSformer's released checkpoints: timm's names and those of the temporal step, after ``model.``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .keymap import KeyMap
from .names import VISION
from .tower import TowerDialect

_TEMPORAL = [
    ('time_embed', 'time_embed'),
    ('layers.{i}.temporal_ln.{wb}', 'blocks.{i}.temporal_norm1.{wb}'),
    ('layers.{i}.temporal_attn.qkv.{wb}', 'blocks.{i}.temporal_attn.qkv.{wb}'),
    ('layers.{i}.temporal_attn.proj.{wb}', 'blocks.{i}.temporal_attn.proj.{wb}'),
    ('layers.{i}.temporal_fc.{wb}', 'blocks.{i}.temporal_fc.{wb}'),
]


@DIALECTS.register_module(name='timesformer')
class TimeSformerDialect(TowerDialect):
    """TimeSformer's released .pyth with divided attention (K400, K600, …), key ``model_state``; the encoder alone."""

    name = 'timesformer'
    prefix = 'model.'
    keymap = KeyMap([*VISION, *_TEMPORAL])
    ignored = [(r'model\.head\.', "the classifier of Kinetics' actions")]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """The name of the time embedding."""
        return 'model.time_embed' in weights

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """Under ``model_state``."""
        return dict(model_state=weights)
