"""A prompt before the texts of BART and T5 restated slowly: its rows are further words, which nobody decodes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tests.slow_seq2seq import SlowBart, SlowT5, SlowVLPET, layer_norm


def rows_of(state: Mapping[str, Tensor], prefix: str = '') -> Tensor:
    """The rows of a table, or those that an MLP makes of it, as they are described."""
    table = state[f'{prefix}table']
    if f'{prefix}mlp.0.weight' not in state:
        return table
    first, second = ((state[f'{prefix}mlp.{i}.weight'], state[f'{prefix}mlp.{i}.bias']) for i in (0, 2))
    return torch.stack([second[0] @ torch.tanh(first[0] @ row + first[1]) + second[1] for row in table])


class BareBart(SlowBart):
    """BART whose words from ``known`` on have no position; those of the text are counted without them."""

    known: int

    def embed(self, ids: Tensor, tower: str) -> Tensor:
        name = f'model.{tower}'
        positions = iter(self.state[f'{name}.embed_positions.weight'][2:])
        table = self.state['model.shared.weight']
        x = torch.stack([table[i] if i >= self.known else table[i] + next(positions) for i in ids.tolist()])
        return layer_norm(x, self.state, f'{name}.layernorm_embedding')


class SlowPrompted:
    """BART or T5 whose encoder reads ``[rows, text, vision]``.

    Args:
        state: Parameters of the language model by transformers' names.
        config: Its config.
        rows: (P, D).
        positions: Whether the rows have BART's positions.
    """

    def __init__(self, state: Mapping[str, Tensor], config, rows: Tensor, positions: bool = False) -> None:
        key = 'model.shared.weight' if config.model_type == 'bart' else 'shared.weight'
        self.known, self.count = len(state[key]), len(rows)
        state = {**state, key: torch.cat([state[key], rows])}
        kind = SlowT5 if config.model_type == 't5' else SlowBart if positions else BareBart
        self.slow = kind(state, config, SlowVLPET({}, {}))
        self.slow.known = self.known

    def _longer(self, real: Tensor) -> Tensor:
        return torch.cat([real.new_ones(self.count), real])

    def encoder(self, ids: Tensor, real: Tensor, vision: Tensor | None = None) -> Tensor:
        """As of the plain model, with P rows more at the start."""
        ids = torch.cat([torch.arange(self.known, self.known + self.count), ids])
        return self.slow.encoder(ids, self._longer(real), vision)

    def logits(self, target: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """As of the plain model; ``real`` says it of the rows after the prompt's."""
        return self.slow.logits(target, states, self._longer(real))[:, : self.known]
