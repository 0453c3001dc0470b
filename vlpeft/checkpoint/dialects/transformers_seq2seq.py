"""BART and T5 as transformers saves them, with or without the head's prefix, tied tables once or repeated."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from ..tied import without_shared
from .base import Dialect, weights_of

PREFIX = 'lm.'
# Every checkpoint has one of these: BART with its language model head, and T5 or bare BART.
TABLES = ('model.shared.weight', 'shared.weight')
HEAD = 'lm_head.weight'
# Where a table may be repeated. T5 v1.1's head is one of its own.
TIED = ('encoder.embed_tokens.weight', 'decoder.embed_tokens.weight', HEAD)


@DIALECTS.register_module(name='transformers_seq2seq')
class TransformersSeq2SeqDialect(Dialect):
    """transformers' BART and T5 (.bin, .safetensors): the language model of a VLSeq2Seq."""

    name = 'transformers_seq2seq'
    ignored = [
        (r'final_logits_bias$', 'a constant'),
        (r'(model\.)?(encoder|decoder)\.version$', 'a constant'),
        (r'decoder\..+\.EncDecAttention\.relative_attention_bias\.weight$', 'unused in T5'),
    ]
    dropped = [(r'(?!lm\.)', 'the layout holds a language model only')]

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """The name of the word embeddings, and nothing of a method."""
        weights = weights_of(checkpoint)
        return any(table in weights for table in TABLES) and not any('visual_embedding' in key for key in weights)

    def to_vlpeft(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """The state dict in our keys: bare BART gets its prefix."""
        weights = weights_of(checkpoint)
        left_out = {key for keys in self.ignored_keys(checkpoint).values() for key in keys}
        bare = 'shared.weight' in weights and any(key.startswith('encoder.layers.') for key in weights)
        prefix = f'{PREFIX}model.' if bare else PREFIX
        return {
            (PREFIX if key == HEAD else prefix) + key: value for key, value in weights.items() if key not in left_out
        }

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """As ``from_pretrained`` reads it, tied tables once."""
        weights = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
        table = next(table for table in TABLES if table in weights)
        return without_shared(weights, table, [key for key in weights if key.endswith(TIED)])
