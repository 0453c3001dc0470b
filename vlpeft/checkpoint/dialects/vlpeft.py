"""Our own layout: ``{state_dict, meta, …}`` as MMEngine saves it, or a flat safetensors file."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .base import Dialect

# Without itm_head, and not all of decoder and encoder: BLIP's and BART's own files have parts of those names.
PARTS = (
    'vision.',
    'text.',
    'decoder.bert.',
    'decoder.cls.',
    'encoder.patch_embed.',
    'lm.',
    'vlm.',
    'connector.maps.',  # eP-ALM's released files hold connector.0.
    'visual_embedding.',
    'itc_head.',
    'adapter.',
    'temporal_embedding.',
    'momentum.',
    'queue.',
)


@DIALECTS.register_module(name='vlpeft')
class VlpeftDialect(Dialect):
    """vlpeft's own checkpoints (MMEngine .pth or safetensors), whole or trained parts only."""

    name = 'vlpeft'
    towers = ('vision', 'encoder', 'text', 'decoder', 'lm')
    whole = False
    several_methods = True

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """The names of our models' parts."""
        return any(key.startswith(PARTS) for key in weights)

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights as they are."""
        return dict(weights)

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """As MMEngine saves it."""
        return dict(state_dict=dict(state), meta={})
