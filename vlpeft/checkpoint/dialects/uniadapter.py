"""UniAdapter's released checkpoints: BLIP's names, plus adapters that every tower repeats."""

from typing import Any, Dict, Mapping

from torch import Tensor

from ...registry import DIALECTS
from ..errors import CheckpointError
from .base import RenamingDialect, weights_of
from .blip import BLIP_IGNORED, BLIP_NAMES
from .keymap import KeyMap
from .names import UNIADAPTER, UNIADAPTER_ALIASES

_WITH_MOMENTUM = ('visual_encoder', 'text_encoder', 'vision_proj', 'text_proj', 'adapters')
_MOMENTUM = 'momentum.'


@DIALECTS.register_module(name='uniadapter')
class UniAdapterDialect(RenamingDialect):
    """UniAdapter's released .pth: BLIP with shared adapters, each repeated under both towers."""

    name = 'uniadapter'
    text = 'text_encoder'
    keymap = KeyMap([*BLIP_NAMES, *UNIADAPTER])
    aliases = KeyMap(UNIADAPTER_ALIASES)
    ignored = [*BLIP_IGNORED, (r'(.+\.)?adapters_dec\.', 'dead in the released code: built and never used')]
    dropped = [(r'queue\.', 'feature queues belong to training')]

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """Adapters under any of their released names."""
        return any(key.startswith('adapters.') or self.aliases.to_ours(key) for key in weights_of(checkpoint))

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> Dict[str, Any]:
        """A released-format checkpoint; momentum copies are the given ones, else copies of the weights.

        Raises:
            CheckpointError: The state holds no UniAdapter, or keys that the layout has no place for.
        """
        live = {key: value for key, value in state.items() if not key.startswith(_MOMENTUM)}
        weights = self.rename(live)
        if not self.matches(weights):
            raise CheckpointError('the uniadapter layout needs adapters (adapter.layers.*), and the state has none; '
                                  'use the blip layout for a plain base')
        # Frozen parts have identical momentum copies for ever, so ours keep none; the released code loads them.
        trained = self.rename({key[len(_MOMENTUM):]: value for key, value in state.items() if key not in live})
        momentum = {}
        for key, value in weights.items():
            part, _, rest = key.partition('.')
            if part in _WITH_MOMENTUM:
                momentum[f'{part}_m.{rest}'] = trained.get(key, value)
        return self.wrap({**weights, **momentum})

    def wrap(self, weights: Dict[str, Tensor]) -> Dict[str, Any]:
        """With the other entries of a released file, empty."""
        return dict(model=weights, optimizer={}, config={}, epoch=0)
