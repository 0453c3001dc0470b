"""eP-ALM's released checkpoints: connectors and soft prompt, under ``model``, beside the state of the training."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from .base import RenamingDialect
from .keymap import KeyMap

_PROMPT = 'prompt_module.prefix_embedding'
_OWN = re.compile(rf'(connector\.\d+|{re.escape(_PROMPT)}\.0)\.weight')


@DIALECTS.register_module(name='epalm')
class EPALMDialect(RenamingDialect):
    """eP-ALM's released .pth, key ``model``; connectors and soft prompt alone."""

    name = 'epalm'
    whole = False
    keymap = KeyMap(
        [
            ('adapter.connector.{i}.{wb}', 'connector.{i}.{wb}'),
            ('adapter.prompt.table', f'{_PROMPT}.0.weight'),
            # The released Sequential begins with the table.
            ('adapter.prompt.mlp.0.{wb}', f'{_PROMPT}.1.{{wb}}'),
            ('adapter.prompt.mlp.2.{wb}', f'{_PROMPT}.3.{{wb}}'),
        ]
    )
    dropped = [(r'(lm|encoder)\.', "eP-ALM's files do not hold the frozen models")]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """A connector or a soft prompt."""
        return any(_OWN.fullmatch(key) for key in weights)

    def wrap(self, weights: dict[str, Tensor]) -> dict[str, Any]:
        """With the other entries of a released file, empty."""
        return dict(model=weights, optimizer={}, lr_scheduler={}, config={}, epoch=0, best_valid=0.0, best_epoch=0)
