"""Beam search against transformers' own, and greedy search against its definition."""

import pytest
import torch
from torch import nn
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutput

from vlpeft.models.decoding import beam_search

VOCABULARY, END = 7, 2


class Markov(PreTrainedModel, GenerationMixin):
    """Next-token logits that depend on the last two tokens and the query."""
    config_class = PretrainedConfig
    main_input_name = 'input_ids'

    def __init__(self, table):
        super().__init__(PretrainedConfig(vocab_size=VOCABULARY, is_decoder=True, num_hidden_layers=0))
        self.table = nn.Parameter(table)
        self.generation_config = GenerationConfig()

    def prepare_inputs_for_generation(self, input_ids, **kwargs):
        return dict(input_ids=input_ids)

    def logits(self, ids):
        before = ids[:, -2] if ids.shape[1] > 1 else torch.zeros_like(ids[:, 0])
        return self.table[before, ids[:, -1]]

    def forward(self, input_ids, attention_mask=None, **kwargs):
        return CausalLMOutput(logits=self.logits(input_ids)[:, None])


def decode(model, start, beams, length):
    return beam_search(lambda ids, origin: model.logits(ids), start, beams, END, length)


@pytest.mark.parametrize('beams', [1, 2, 3])
@pytest.mark.parametrize('seed', range(12))
def test_equals_transformers(seed, beams):
    generator = torch.Generator().manual_seed(seed)
    model = Markov(1.5 * torch.randn(VOCABULARY, VOCABULARY, VOCABULARY, generator=generator)).eval()
    start = torch.tensor([[1], [3], [4], [5]])
    wanted = model.generate(
        start, num_beams=beams, max_length=6, eos_token_id=END, pad_token_id=0, do_sample=False, length_penalty=1.0,
        early_stopping=False, use_cache=False, attention_mask=torch.ones_like(start))
    for row, found in zip(wanted.tolist(), decode(model, start, beams, 6)):
        tail = row[1:]
        assert found == (tail[:tail.index(END)] if END in tail else tail)


def test_reordering_reaches_the_cache():
    generator = torch.Generator().manual_seed(5)
    model = Markov(torch.randn(VOCABULARY, VOCABULARY, VOCABULARY, generator=generator))
    rows = []

    def step(ids, origin):
        # What a cache would hold: the history of every row, moved as ``origin`` says.
        history = ids[:, :-1] if origin is None else rows[-1][origin]
        assert torch.equal(history, ids[:, :-1])
        rows.append(ids)
        return model.logits(ids)

    beam_search(step, torch.tensor([[1], [3]]), 3, END, 6)
    assert len(rows) == 5
