"""BART and T5 as transformers saves them, with or without the head's prefix, tied tables once or repeated."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from ..tied import without_shared
from .base import Dialect

# Every checkpoint has one of these: BART with its language model head, and T5 or bare BART.
TABLES = ('model.shared.weight', 'shared.weight')
HEAD = 'lm_head.weight'
# Where a table may be repeated. T5 v1.1's head is one of its own.
TIED = ('encoder.embed_tokens.weight', 'decoder.embed_tokens.weight', HEAD)


@DIALECTS.register_module(name='transformers_seq2seq')
class TransformersSeq2SeqDialect(Dialect):
    """transformers' BART and T5 (.bin, .safetensors): an encoder-decoder language model alone."""

    name = 'transformers_seq2seq'
    flat = True
    tower = 'lm'
    ignored = [
        (r'final_logits_bias$', 'a constant'),
        (r'(model\.)?(encoder|decoder)\.version$', 'a constant'),
        (r'decoder\..+\.EncDecAttention\.relative_attention_bias\.weight$', 'unused in T5'),
    ]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """The name of the word embeddings, and nothing of a method."""
        return any(table in weights for table in TABLES) and not any('visual_embedding' in key for key in weights)

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The model in our keys: bare BART gets its prefix."""
        bare = 'shared.weight' in weights and any(key.startswith('encoder.layers.') for key in weights)
        prefix = 'model.' if bare else ''
        return {key if key == HEAD else prefix + key: value for key, value in self.kept(weights).items()}

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """As ``from_pretrained`` reads it, tied tables once."""
        table = next(table for table in TABLES if table in state)
        return without_shared(state, table, [key for key in state if key.endswith(TIED)])

    def names(self, tower: Mapping[str, Tensor]) -> int:
        """All weights, of such a model with its head's prefix."""
        bart, t5 = TABLES[0] in tower, TABLES[1] in tower and 'encoder.final_layer_norm.weight' in tower
        return len(tower) if bart or t5 else 0
