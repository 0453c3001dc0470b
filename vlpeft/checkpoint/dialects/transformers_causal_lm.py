"""OPT, GPT-2 and Llama as transformers saves them, with or without the head's prefix, tied head repeated or not."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from ..tied import without_shared
from .base import Dialect

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
    """transformers' OPT, GPT-2 and Llama family (.bin, .safetensors): a decoder-only language model alone."""

    name = 'transformers_causal_lm'
    flat = True
    tower = 'lm'
    ignored = [
        (r'(model\.)?decoder\.version$', 'a constant'),
        (r'(transformer\.)?h\.\d+\.attn\.(masked_)?bias$', 'a constant'),
        (r'.+\.rotary_emb\.inv_freq$', 'a constant'),
    ]

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """A name of the word embeddings, and no encoder."""
        return _table(weights) is not None and not _encodes(weights)

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The model in our keys: a bare one gets its prefix."""
        lacking = TABLES[_table(weights)]
        return {key if key == HEAD else lacking + key: value for key, value in self.kept(weights).items()}

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """As ``from_pretrained`` reads it, a tied head left out."""
        return without_shared(state, _table(state), [HEAD])

    def names(self, tower: Mapping[str, Tensor]) -> int:
        """All weights, of such a model with its head's prefix."""
        table = _table(tower)
        return len(tower) if table is not None and not TABLES[table] and not _encodes(tower) else 0


def _table(keys: Collection[str]) -> str | None:
    return next((table for table in TABLES if table in keys), None)


def _encodes(keys: Iterable[str]) -> bool:
    return any(key.startswith(('encoder.', 'model.encoder.')) for key in keys)
