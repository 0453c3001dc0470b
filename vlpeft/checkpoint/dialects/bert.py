"""BERT as transformers saves it, bare or below a task's model, and its kin such as MiniLM's sentence encoders."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...registry import DIALECTS
from ..errors import CheckpointError
from .base import Dialect, weights_of

_WORDS, _POSITIONS = (f'embeddings.{table}_embeddings.weight' for table in ('word', 'position'))
_TYPES = 'embeddings.token_type_embeddings.weight'
# Files that come from TensorFlow have these names of a norm's weight and bias.
_NORM = {'LayerNorm.gamma': 'LayerNorm.weight', 'LayerNorm.beta': 'LayerNorm.bias'}


@DIALECTS.register_module(name='bert')
class BertDialect(Dialect):
    """transformers' BERT (.bin, .safetensors) for BLIP's text tower, whose cross-attention is new; read only."""

    name = 'bert'
    ignored = [
        (r'(bert\.)?pooler\.', 'the pooler of sentence pairs'),
        (r'(cls|classifier|qa_outputs|dropout)\.', 'heads of other tasks'),
        (r'(bert\.)?embeddings\.position_ids$', 'a constant'),
        (rf'(bert\.)?{re.escape(_TYPES)}$', 'row 0 is added to the positions'),
    ]
    new = (r'text\.encoder\.layer\.\d+\.crossattention\.',)
    # [DEC] and [ENC].
    new_rows = {f'text.{_WORDS}': 2}

    def matches(self, checkpoint: Mapping[str, Any]) -> bool:
        """Names of the word embeddings and of the first query, below no prefix or BERT's."""
        keys = {key.removeprefix('bert.') for key in weights_of(checkpoint)}
        return {_WORDS, 'encoder.layer.0.attention.self.query.weight'} <= keys

    def to_vlpeft(self, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        """The state dict in our keys. Captions are of token type 0, whose embedding joins every position's."""
        weights = weights_of(checkpoint)
        left_out = {key for keys in self.ignored_keys(weights).values() for key in keys}
        names = {key: key.removeprefix('bert.') for key in weights}
        state = {names[key]: value for key, value in weights.items() if key not in left_out}
        for key, name in names.items():
            if name == _TYPES:
                state[_POSITIONS] = state[_POSITIONS] + weights[key][0]
        return {f'text.{_rename_norm(key)}': value for key, value in state.items()}

    def from_vlpeft(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Raises:
        CheckpointError: Always.
        """
        raise CheckpointError('the bert layout is read only: it has no place for cross-attention; write blip instead')


def _rename_norm(key: str) -> str:
    for old, new in _NORM.items():
        key = key.replace(old, new)
    return key
