"""Different sets for different samples of one batch: each sample as if it ran alone under its set."""

import pytest
import torch

import vlpeft
from tests.plain_models import PLAIN
from tests.tiny import randomise
from vlpeft.sites import SiteError

LORA = dict(type='LoRA', rank=2, targets=dict(kinds=['ffn']))


def two_sets(name):
    model = PLAIN[name].model()
    adapter = vlpeft.attach(model, LORA, name='a')
    adapter.add('b', LORA)
    randomise(adapter.sets['a'], seed=1)
    randomise(adapter.sets['b'], seed=2)
    return model, adapter


def test_gradients_come_from_the_samples_of_a_set():
    model, adapter = two_sets('llama')
    with adapter.per_sample(('a', 'b', None)):
        PLAIN['llama'].run(model)[:1].square().sum().backward()
    assert all(param.grad.any() for param in adapter.sets['a'].parameters())
    assert not any(param.grad is not None and param.grad.any() for param in adapter.sets['b'].parameters())


def test_beams_are_rows_of_their_sample():
    model, adapter = two_sets('t5')
    ids = PLAIN['t5'].inputs(2)['input_ids'][:, :3]
    options = dict(max_new_tokens=4, num_beams=3, do_sample=False, pad_token_id=0, eos_token_id=None)
    with adapter.per_sample(('a', 'b'), rows_each=3):
        mixed = adapter.generate(input_ids=ids, **options)
    for i, own in enumerate('ab'):
        with adapter.use(own):
            assert torch.equal(adapter.generate(input_ids=ids[i : i + 1], **options)[0], mixed[i])


def test_what_does_not_fit_the_batch_is_refused():
    model, adapter = two_sets('opt')
    with pytest.raises(SiteError, match=r'given for 2 samples .* but at lm\.0:\S+ \(add\) 3 rows pass'):
        with adapter.per_sample(('a', 'b')):
            PLAIN['opt'].run(model)
    with pytest.raises(ValueError, match="there is no set 'c'; sets: a, b"):
        adapter.per_sample(('a', 'c', None))
    adapter.sets['b'].rows_independent = False
    with pytest.raises(SiteError, match="set 'b': LoRA does not act on the samples of a batch one by one"):
        adapter.per_sample(('a', 'b', None))
