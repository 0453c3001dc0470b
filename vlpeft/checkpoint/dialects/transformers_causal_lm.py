"""OPT, GPT-2 and Llama as transformers saves them, with or without the head's prefix, tied head repeated or not."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from ..tied import without_shared
from .base import Dialect, weights_of

PREFIX = 'lm.'
HEAD = 'lm_head.weight'
# Name of the word embeddings -> what a bare model lacks before all its names.
TABLES = {
    'model.decoder.embed_tokens.weight': '',
    'decoder.embed_tokens.weight': 'model.',
    'transformer.wte.weight': '',
    'wte.weight': 'transformer.',
    'model.embed_tokens.weight': '',
    'embed_tokens.weight': 'model.',
}


@DIALECTS.register_module(name='transformers_causal_lm')
class TransformersCausalLMDialect(Dialect):
    """transformers' OPT, GPT-2 and Llama family (.bin, .safetensors): the language model of a PerceptualLM."""

    name = 'transformers_causal_lm'
    ignored = [
        (r'(model\.)?decoder\.version$', 'a constant'),
        (r'(transformer\.)?h\.\d+\.attn\.(masked_)?bias$', 'a constant'),
        (r'.+\.rotary_emb\.inv_freq$', 'a constant'),
    ]
    dropped = [(r'(?!lm\.)', 'the layout holds a language model only')]

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """A name of the word embeddings, and no encoder."""
        weights = weights_of(checkpoint)
        return any(table in weights for table in TABLES) and not any(
            key.startswith(('encoder.', 'model.encoder.')) for key in weights
        )

    def to_vlpeft(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """The state dict in our keys: a bare model gets its prefix."""
        weights = weights_of(checkpoint)
        left_out = {key for keys in self.ignored_keys(checkpoint).values() for key in keys}
        lacking = TABLES[_table(weights)]
        return {
            PREFIX + (key if key == HEAD else lacking + key): value
            for key, value in weights.items()
            if key not in left_out
        }

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """As ``from_pretrained`` reads it, a tied head left out."""
        weights = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
        return without_shared(weights, _table(weights), [HEAD])


def _table(weights: Mapping[str, Tensor]) -> str:
    return next(table for table in TABLES if table in weights)
