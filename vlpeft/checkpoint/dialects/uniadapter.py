"""UniAdapter's released checkpoints: BLIP's names, plus adapters that every tower repeats."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from ..errors import CheckpointError
from .base import RenamingDialect
from .blip import BLIP_ALIASES, BLIP_IGNORED, BLIP_NAMES, BLIP_PLACES, BLIP_TEXTS, BLIP_TIES, TASK_PARTS
from .keymap import KeyMap
from .names import UNIADAPTER, UNIADAPTER_ALIASES, UNIADAPTER_DECODER_ALIASES, UNIADAPTER_TIME

_WITH_MOMENTUM = ('visual_encoder', 'text_encoder', 'vision_proj', 'text_proj', 'adapters')
_MOMENTUM = 'momentum.'
_DECODER = 'decoder.'
# The decoder attends to a question's states, which are no frames, so its own table is never added to anything.
_DECODER_TIME = 'text_decoder.bert.encoder.time_embed'
_SHARED = [*UNIADAPTER_ALIASES, *UNIADAPTER_DECODER_ALIASES]


@DIALECTS.register_module(name='uniadapter')
class UniAdapterDialect(RenamingDialect):
    """UniAdapter's released .pth (retrieval or VQA): BLIP with shared adapters, each repeated under every tower."""

    name = 'uniadapter'
    towers = ('vision', 'text', 'decoder')
    texts = BLIP_TEXTS
    places = BLIP_PLACES
    keymap = KeyMap([*BLIP_NAMES, *UNIADAPTER])
    aliases = KeyMap([*_SHARED, *BLIP_ALIASES])
    ties = BLIP_TIES
    adapter_aliases = KeyMap(_SHARED)
    optional_parts = TASK_PARTS
    ignored = [
        *BLIP_IGNORED,
        (r'(.+\.)?adapters_dec\.', 'dead in the released code: built and never used'),
        (re.escape(_DECODER_TIME) + '$', 'of the decoder, which sees no frames'),
    ]
    dropped = [(r'queue\.', 'feature queues belong to training')]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """Adapters under any of their released names."""
        return any(key.startswith('adapters.') or self.adapter_aliases.to_ours(key) for key in weights)

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """A released-format checkpoint. A retriever's has momentum copies: the given ones, else copies of the weights.

        Raises:
            CheckpointError: The state holds no UniAdapter, or keys that the layout has no place for.
        """
        answers = any(key.startswith(_DECODER) for key in state)
        live = {key: value for key, value in state.items() if not key.startswith(_MOMENTUM)}
        weights = self.rename(live)
        if not self.matches(weights):
            raise CheckpointError(
                'the uniadapter layout needs adapters (adapter.layers.*), and the state has none; '
                'use the blip layout for a plain base'
            )
        if answers:
            if UNIADAPTER_TIME in weights:
                weights[_DECODER_TIME] = weights[UNIADAPTER_TIME]
            return self.wrap(weights)
        weights = {key: value for key, value in weights.items() if not key.startswith('text_decoder.')}
        # Frozen parts have identical momentum copies for ever, so ours keep none; the released code loads them.
        trained = self.rename({key[len(_MOMENTUM) :]: value for key, value in state.items() if key not in live})
        momentum = {}
        for key, value in weights.items():
            part, _, rest = key.partition('.')
            if part in _WITH_MOMENTUM:
                momentum[f'{part}_m.{rest}'] = trained.get(key, value)
        return self.wrap({**weights, **momentum})

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """With the other entries of a released file, empty."""
        return dict(model=weights, optimizer={}, config={}, epoch=0)
