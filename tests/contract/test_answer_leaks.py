"""No answer leaks into what predicts it: changing a token of an answer changes no logit before it, in any family."""

import pytest
import torch

import vlpeft
from tests import tiny_vlms
from tests.chat.test_label_masks import encoded
from tests.contract.vlm_cells import ANSWERS, QUESTIONS, REFUSED, method, samples
from tests.tiny_vlms import FAMILIES
from vlpeft.adaptation import AttachedAdapter
from vlpeft.chat import join
from vlpeft.compat import transformers_major
from vlpeft.models.backbones.counted_logits import counted_logits
from vlpeft.testing.subjects import randomise


def first_seen(name: str, before: dict, after: dict) -> torch.Tensor:
    """For each sample and place whether its logits may know of the change: (B, L)."""
    if FAMILIES[name].encoder_decoder:
        # The decoder reads the labels one place later.
        changed = before['labels'] != after['labels']
        changed = torch.cat([torch.zeros_like(changed[:, :1]), changed[:, :-1]], 1)
    else:
        changed = before['input_ids'] != after['input_ids']
    return changed.cumsum(1) > 0


def with_another_answer(name: str, inputs: dict, start: int) -> dict:
    """The same samples, with all tokens of the answers from the given one on replaced by others."""
    answers = inputs['labels'] != -100
    places = answers & (answers.cumsum(1) > start)
    # Of the tokens that no family gives a meaning to.
    others = torch.where(inputs['labels'] == 250, 251, 250)
    changed = dict(inputs, labels=torch.where(places, others, inputs['labels']))
    if not FAMILIES[name].encoder_decoder:
        changed['input_ids'] = torch.where(places, others, inputs['input_ids'])
    return changed


def logits(model, inputs: dict) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def adapted(name: str):
    """A model with what acts at all linear maps of all towers; without where the family cannot be adapted."""
    model = tiny_vlms.build(name)
    if ('lora', name) in REFUSED:
        return model
    adapter = vlpeft.attach(model, method('lora', name), check_after=0)
    randomise(adapter.sets, seed=1)
    return adapter


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('name', FAMILIES)
def test_no_logit_before_a_token_knows_it(name, training):
    model, inputs = adapted(name).train(training), samples(name)
    before = logits(model, inputs)
    for start in (0, 1):
        changed = with_another_answer(name, inputs, start)
        after, seen = logits(model, changed), first_seen(name, inputs, changed)
        assert seen.any(1).all()
        assert torch.equal(after[~seen], before[~seen]), 'the answer leaks'
        assert not torch.allclose(after[seen], before[seen])


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('name', FAMILIES)
def test_no_counted_token_is_predicted_from_itself(name, training):
    """As conversations are rendered, joined and counted for the loss."""
    model = adapted(name).train(training)
    model = model.model if isinstance(model, AttachedAdapter) else model
    turns = [[('user', question, 1), ('assistant', answer, 0)] for question, answer in zip(QUESTIONS, ANSWERS)]
    pictures = [[tiny_vlms.picture(seed, (16 + 8 * seed, 16))] for seed in range(len(turns))]
    batch = join([encoded(name, *row) for row in zip(turns, pictures)], tiny_vlms.PAD)

    def counted(given):
        inputs = {key: values for key, values in given.items() if key != 'labels'}
        with torch.no_grad():
            return counted_logits(model, inputs, given['labels'])

    before, _, rows = counted(batch)
    # How many counted tokens of its sample come before each.
    place = torch.cat([torch.arange(int((rows == row).sum())) for row in range(len(turns))])
    assert torch.equal(rows, rows.sort().values) and torch.bincount(rows).min() >= 2
    for start in (0, 1):
        after, wanted, _ = counted(with_another_answer(name, batch, start))
        assert set(wanted[place >= start].tolist()) <= {250, 251}
        assert torch.equal(after[place <= start], before[place <= start]), 'the answer leaks'
        assert not torch.allclose(after[place > start], before[place > start])


@pytest.mark.skipif(transformers_major() >= 5, reason='from 5 on its mask is causal then, which leaks nothing')
@pytest.mark.parametrize('missing', ['token_type_ids', 'labels'])
@pytest.mark.parametrize('name', ['paligemma', 'paligemma2'])
def test_the_test_finds_the_leak_of_a_prefix_mask(name, missing):
    """PaliGemma takes the whole text for the prompt unless it is told otherwise, and told that it trains."""
    model, inputs = tiny_vlms.build(name), samples(name)
    changed = with_another_answer(name, inputs, 0)
    seen = first_seen(name, inputs, changed)
    before, after = (
        logits(model, {key: values for key, values in given.items() if key != missing}) for given in (inputs, changed)
    )
    assert not torch.allclose(after[~seen], before[~seen])
