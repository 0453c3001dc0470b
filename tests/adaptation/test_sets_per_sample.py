"""Different sets for different samples of one batch: each sample as if it ran alone under its set."""

import pytest
import torch

import vlpeft
from tests.plain_models import PLAIN
from tests.tiny import randomise
from vlpeft.sites import SiteError

METHODS = dict(
    lora=dict(type='LoRA', rank=2, targets=dict(kinds=['ffn'])),
    bottleneck=dict(type='Bottleneck', bottleneck=3, form='parallel', targets=dict(kinds=['ffn'])),
    vl_pet=dict(
        type='VLPET', granularity='middle_x', bottleneck=4, value_bottleneck=None, targets=dict(kinds=['self_attn'])
    ),
)


def two_sets(name, method):
    model = PLAIN[name].model()
    adapter = vlpeft.attach(model, METHODS[method], name='a')
    adapter.add('b', METHODS[method])
    randomise(adapter.sets['a'], seed=1)
    randomise(adapter.sets['b'], seed=2)
    return model, adapter


@pytest.mark.parametrize('name', ['bart', 't5', 'opt', 'gpt2', 'llama', 'clip', 'vit'])
@pytest.mark.parametrize('method', METHODS)
def test_a_mixed_batch_is_its_samples_under_their_sets(name, method):
    model, adapter = two_sets(name, method)
    plain, names = PLAIN[name], ('a', 'b', None)
    with adapter.per_sample(names):
        mixed = plain.run(model)
    tolerance = dict(rtol=1e-9, atol=1e-11) if plain.dtype == torch.float64 else dict(rtol=1e-5, atol=1e-6)
    wholes = []
    for i, own in enumerate(names):
        with adapter.use(own):
            wholes.append(plain.run(model))
        torch.testing.assert_close(mixed[i], wholes[i][i], **tolerance)
    assert not torch.allclose(wholes[0], wholes[1]) and not torch.allclose(wholes[0], wholes[2])


def test_gradients_come_from_the_samples_of_a_set():
    model, adapter = two_sets('llama', 'lora')
    with adapter.per_sample(('a', 'b', None)):
        PLAIN['llama'].run(model)[:1].square().sum().backward()
    assert all(param.grad.any() for param in adapter.sets['a'].parameters())
    assert not any(param.grad is not None and param.grad.any() for param in adapter.sets['b'].parameters())


def test_beams_are_rows_of_their_sample():
    model, adapter = two_sets('t5', 'lora')
    ids = PLAIN['t5'].inputs(2)['input_ids'][:, :3]
    options = dict(max_new_tokens=4, num_beams=3, do_sample=False, pad_token_id=0, eos_token_id=None)
    with adapter.per_sample(('a', 'b'), rows_each=3):
        mixed = adapter.generate(input_ids=ids, **options)
    for i, own in enumerate('ab'):
        with adapter.use(own):
            assert torch.equal(adapter.generate(input_ids=ids[i : i + 1], **options)[0], mixed[i])


def test_what_does_not_fit_the_batch_is_refused():
    model, adapter = two_sets('opt', 'lora')
    with pytest.raises(SiteError, match=r'given for 2 samples .* but at lm\.0:\S+ \(add\) 3 rows pass'):
        with adapter.per_sample(('a', 'b')):
            PLAIN['opt'].run(model)
    with pytest.raises(ValueError, match="there is no set 'c'; sets: a, b"):
        adapter.per_sample(('a', 'c', None))
    adapter.sets['b'].rows_independent = False
    with pytest.raises(SiteError, match="set 'b': LoRA does not act on the samples of a batch one by one"):
        adapter.per_sample(('a', 'b', None))
