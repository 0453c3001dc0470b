"""Beam search against slow restatements of both rules and against transformers' own."""

import math

import pytest
import torch
from torch import nn
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutput

from tests.slow_decoding import slow_mean, slow_search
from tests.waits import OnDevice, on_device
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


STARTS = torch.tensor([[1], [3], [4], [5]])
LONGEST = 6


def random_model(seed):
    generator = torch.Generator().manual_seed(seed)
    table = 1.5 * torch.randn(VOCABULARY, VOCABULARY, VOCABULARY, generator=generator, dtype=torch.float64)
    return Markov(table).eval()


def decode(model, beams, rule='default', prompt_length=1):
    return beam_search(lambda ids, origin: model.logits(ids), STARTS, beams, END, LONGEST, rule, prompt_length)


def restated(model, beams, rule, prompt_length):
    """The slow search of every query."""

    def log_probs(start, new):
        return model.logits(torch.tensor([[start, *new]]))[0].log_softmax(-1).tolist()

    return [
        slow_search(lambda new, start=start: log_probs(start, new), beams, END, LONGEST - 1, rule, prompt_length)
        for start in STARTS[:, 0].tolist()
    ]


# The default rule knows no prompt; BLIP's decoder starts from one token, eP-ALM's from a padded prompt.
@pytest.mark.parametrize('rule, prompt_length', [('default', 1), ('default', 9), ('released', 1), ('released', 9)])
def test_both_rules_equal_their_slow_restatements_on_200_models(rule, prompt_length):
    for seed in range(200):
        model, beams = random_model(seed), 1 + seed % 3
        for found, expected in zip(
            decode(model, beams, rule, prompt_length), restated(model, beams, rule, prompt_length)
        ):
            assert [one.ids for one in found] == [ids for ids, _ in expected], seed
            assert [one.score for one in found] == pytest.approx([score for _, score in expected], rel=1e-12), seed


def test_means_of_log_probabilities_are_those_of_the_tokens_whatever_the_rule():
    for seed in range(60):
        model = random_model(seed)
        for way in (('default', 1), ('released', 9)):
            for start, found in zip(STARTS[:, 0].tolist(), decode(model, 1 + seed % 3, *way)):

                def log_probs(new, start=start, model=model):
                    return model.logits(torch.tensor([[start, *new]]))[0].log_softmax(-1).tolist()

                means = [slow_mean(log_probs, one.ids, END, LONGEST - 1) for one in found]
                assert [one.mean_log_prob for one in found] == pytest.approx(means, rel=1e-9), seed


def test_the_rules_differ():
    """The three searches of the same models: counts would be 0 if the rule reached nothing."""
    ways = [('default', 1), ('released', 1), ('released', 9)]
    found = [[kept[0].ids for seed in range(60) for kept in decode(random_model(seed), 3, *way)] for way in ways]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert 5 < sum(a != b for a, b in zip(found[one], found[other])) < 200


def forced(tokens):
    """A step whose every token is sure, the first excepted, whose log p is -log 2."""

    def step(ids, origin):
        logits = torch.full((1, VOCABULARY), -1e9, dtype=torch.float64)
        logits[0, tokens[ids.shape[1] - 1]] = 0.0
        if ids.shape[1] == 1:
            logits[0, 5] = -1e-12
        return logits

    return step


@pytest.mark.parametrize(
    'rule, prompt_length, finished, unfinished',
    [('default', 1, 4, 4), ('default', 7, 4, 4), ('released', 1, 4, 5), ('released', 7, 10, 11)],
)
def test_each_sum_is_divided_as_described(rule, prompt_length, finished, unfinished):
    """Four new tokens, with an end token as the fourth and without one."""
    for tokens, divisor in (([4, 4, 4, END], finished), ([4, 4, 4, 4], unfinished)):
        (found,) = beam_search(forced(tokens), torch.tensor([[1]]), 1, END, 1 + 4, rule, prompt_length)
        answer = [token for token in tokens if token != END]
        assert [one.ids for one in found] == [answer]
        assert found[0].score == pytest.approx(-math.log(2) / divisor, rel=1e-9)


def test_equals_transformers_on_200_models():
    for seed in range(200):
        model, beams = random_model(seed), 1 + seed % 3
        wanted = model.generate(
            STARTS,
            num_beams=beams,
            max_length=LONGEST,
            eos_token_id=END,
            pad_token_id=0,
            do_sample=False,
            length_penalty=1.0,
            early_stopping=False,
            use_cache=False,
            attention_mask=torch.ones_like(STARTS),
            return_dict_in_generate=True,
            output_scores=True,
        )
        found = [kept[0] for kept in decode(model, beams)]
        for row, best in zip(wanted.sequences[:, 1:].tolist(), found):
            assert best.ids == (row[: row.index(END)] if END in row else row), seed
        if beams > 1:
            scores = torch.tensor([best.score for best in found], dtype=torch.float64)
            torch.testing.assert_close(wanted.sequences_scores.double(), scores, rtol=1e-6, atol=0)


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


@pytest.mark.parametrize('rule', ['default', 'released'])
@pytest.mark.parametrize('beams', [1, 3])
def test_a_step_waits_for_the_device_once(beams, rule):
    model, calls = random_model(seed=1), []

    def step(ids, origin):
        calls.append(len(ids))
        return model.logits(ids)

    found = beam_search(step, on_device(STARTS), beams, END, LONGEST, rule)
    assert len(calls) > 1 and OnDevice.waits == dict(cpu=len(calls))
    assert found == decode(model, beams, rule)
