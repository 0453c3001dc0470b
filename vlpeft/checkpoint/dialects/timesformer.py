"""TimeSformer's released checkpoints: timm's names and those of the temporal step, after ``model.``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .base import RenamingDialect, weights_of
from .keymap import KeyMap, under
from .names import VISION
from .timm_vit import ENCODER_ONLY

_TEMPORAL = [
    ('time_embed', 'time_embed'),
    ('layers.{i}.temporal_ln.{wb}', 'blocks.{i}.temporal_norm1.{wb}'),
    ('layers.{i}.temporal_attn.qkv.{wb}', 'blocks.{i}.temporal_attn.qkv.{wb}'),
    ('layers.{i}.temporal_attn.proj.{wb}', 'blocks.{i}.temporal_attn.proj.{wb}'),
    ('layers.{i}.temporal_fc.{wb}', 'blocks.{i}.temporal_fc.{wb}'),
]


@DIALECTS.register_module(name='timesformer')
class TimeSformerDialect(RenamingDialect):
    """TimeSformer's released .pyth with divided attention (K400, K600, …), key ``model_state``; the encoder alone."""

    name = 'timesformer'
    texts = ()
    places = [('model.', 'encoder.')]
    keymap = KeyMap(under('encoder', 'model', [*VISION, *_TEMPORAL]))
    ignored = [(r'model\.head\.', "the classifier of Kinetics' actions")]
    dropped = [*ENCODER_ONLY, (r'encoder\.head\.', 'the classifier is not read either')]

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """The name of the time embedding."""
        return 'model.time_embed' in weights_of(checkpoint)

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """Under ``model_state``."""
        return dict(model_state=weights)
