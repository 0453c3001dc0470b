"""BERT as transformers saves it, bare or below a task's model, and its kin such as MiniLM's sentence encoders."""

import re
from collections.abc import Mapping

from torch import Tensor

from ...registry import DIALECTS
from .base import Dialect

_WORDS, _POSITIONS = (f'embeddings.{table}_embeddings.weight' for table in ('word', 'position'))
_TYPES = 'embeddings.token_type_embeddings.weight'
# Files that come from TensorFlow have these names of a norm's weight and bias.
_NORM = {'LayerNorm.gamma': 'LayerNorm.weight', 'LayerNorm.beta': 'LayerNorm.bias'}


@DIALECTS.register_module(name='bert')
class BertDialect(Dialect):
    """transformers' BERT (.bin, .safetensors) for BLIP's text tower, whose cross-attention is new; read only."""

    name = 'bert'
    tower = 'text'
    read_only = 'it has no place for cross-attention; write blip instead'
    ignored = [
        (r'(bert\.)?pooler\.', 'the pooler of sentence pairs'),
        (r'(cls|classifier|qa_outputs|dropout)\.', 'heads of other tasks'),
        (r'(bert\.)?embeddings\.position_ids$', 'a constant'),
        (rf'(bert\.)?{re.escape(_TYPES)}$', 'row 0 is added to the positions'),
    ]
    new = (r'encoder\.layer\.\d+\.crossattention\.',)
    # [DEC] and [ENC].
    new_rows = {_WORDS: 2}

    def matches(self, weights: Mapping[str, Tensor]) -> bool:
        """Names of the word embeddings and of the first query, below no prefix or BERT's."""
        keys = {key.removeprefix('bert.') for key in weights}
        return {_WORDS, 'encoder.layer.0.attention.self.query.weight'} <= keys

    def to_vlpeft(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tower in our keys. Captions are of token type 0, whose embedding joins every position's."""
        state = {_rename_norm(key.removeprefix('bert.')): value for key, value in self.kept(weights).items()}
        for key, value in weights.items():
            if key.removeprefix('bert.') == _TYPES:
                state[_POSITIONS] = state[_POSITIONS] + value[0]
        return state


def _rename_norm(key: str) -> str:
    for old, new in _NORM.items():
        key = key.replace(old, new)
    return key
