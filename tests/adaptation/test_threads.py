"""Threads that share a model: what one chooses holds for those it starts, and two may not choose at once."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import vlpeft
from tests.plain_models import PLAIN
from tests.tiny import randomise
from vlpeft.sites import SiteError

LORA = dict(type='LoRA', rank=2, targets={})


def adapted():
    adapter = vlpeft.attach(PLAIN['llama'].model(), LORA)
    adapter.add('other', LORA)
    for seed, own in enumerate(adapter.sets.values()):
        randomise(own, seed)
    return adapter


def in_a_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_a_thread_runs_under_the_set_of_its_starter():
    """As generation does whose tokens are streamed."""
    adapter = adapted()
    with adapter.use('other'):
        expected = PLAIN['llama'].run(adapter)
        assert torch.equal(in_a_thread(lambda: PLAIN['llama'].run(adapter)), expected)
    assert not torch.allclose(PLAIN['llama'].run(adapter), expected)


def test_two_threads_may_not_choose_at_once():
    adapter = adapted()

    def choose():
        with adapter.use('other'):
            return PLAIN['llama'].run(adapter)

    with adapter.use(None), pytest.raises(SiteError, match='another thread has chosen the set'):
        in_a_thread(choose)
    with adapter.use('other'):
        expected = PLAIN['llama'].run(adapter)
    assert torch.equal(in_a_thread(choose), expected)


def test_a_copy_made_inside_a_block_can_be_switched_by_any_thread():
    adapter = adapted()
    with adapter.use(None):
        twin = copy.deepcopy(adapter)

    def choose():
        with twin.use('other'):
            return PLAIN['llama'].run(twin)

    in_a_thread(choose)


def test_gradients_computed_by_another_thread_are_those_of_the_forward_pass():
    """With recomputation, in a backward pass that runs in a thread of its own, as on a GPU."""
    found = []
    for thread in (lambda function: function(), in_a_thread):
        adapter = adapted().train()
        adapter.gradient_checkpointing_enable()
        with adapter.use('other'):
            loss = PLAIN['llama'].run(adapter).square().sum()
            thread(loss.backward)
        found.append([param.grad for param in adapter.sets['other'].parameters()])
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_nothing_is_attached_where_it_could_never_train():
    with torch.inference_mode(), pytest.raises(SiteError, match='attach it outside'):
        vlpeft.attach(PLAIN['llama'].model(), LORA)
