"""Ways are timed in turn, each first as often as last, and the ratio is that of the medians."""

import time

import pytest

from vlpeft.benchmarks.interleave import interleaved, ratio


def test_ways_take_turns():
    calls = []
    seconds = interleaved(dict(a=lambda: calls.append('a'), b=lambda: calls.append('b')), rounds=4, warm_up=1)
    assert ''.join(calls) == 'ab' + 'ab' + 'ba' + 'ab' + 'ba'
    assert {name: len(found) for name, found in seconds.items()} == dict(a=4, b=4)


def test_the_clock_of_the_processor_does_not_count_sleep():
    ways = dict(sleep=lambda: time.sleep(0.05))
    (wall,), (cpu,) = (interleaved(ways, 1, 0, clock)['sleep'] for clock in ('wall', 'cpu'))
    assert wall >= 0.05 > 0.04 > cpu


def test_ratio_of_medians_and_its_spread():
    assert ratio([4.0, 6.0, 9.0], [2.0, 2.0, 6.0]) == dict(median=3.0, low=1.5, high=3.0)
    with pytest.raises(ValueError):
        ratio([1.0], [1.0, 2.0])
