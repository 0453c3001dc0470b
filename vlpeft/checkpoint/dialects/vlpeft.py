"""Our own layout: ``{state_dict, meta, …}`` as MMEngine saves it, or a flat safetensors file."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .base import Dialect, weights_of

# Without itm_head, and not all of decoder and encoder: BLIP's and BART's own files have parts of those names.
PARTS = (
    'vision.',
    'text.',
    'decoder.bert.',
    'decoder.cls.',
    'encoder.patch_embed.',
    'lm.',
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

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """The names of our models' parts."""
        return any(key.startswith(PARTS) for key in weights_of(checkpoint))

    def to_vlpeft(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """The state dict as it is."""
        return weights_of(checkpoint)

    def at_home(self, state: Mapping[str, Tensor], parts: Iterable[str]) -> dict[str, Tensor]:
        """The vision tower of a retriever fills the encoder of a perceptual language model, too."""
        moves = 'encoder' in parts and 'vision' not in parts and not any(key.startswith('encoder.') for key in state)
        return {
            f'encoder.{key.removeprefix("vision.")}' if moves and key.startswith('vision.') else key: value
            for key, value in state.items()
        }

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """As MMEngine saves it."""
        return dict(state_dict=dict(state), meta={})
