"""Timing several ways of doing the same thing in turn, so that other work on the machine meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)


def interleaved(
    ways: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1, clock: str = 'wall'
) -> dict[str, list[float]]:
    """Seconds of each way in each round; in every other round the last begins.

    Args:
        ways: What is timed, by name.
        rounds: How often each is timed.
        warm_up: How often each runs before, untimed. Defaults to 1.
        clock: ``'wall'``, or ``'cpu'``: time of the processor, which other work on the machine does not lengthen.
            Defaults to ``'wall'``.
    """
    for _ in range(warm_up):
        for run in ways.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in reversed(ways) if number % 2 else ways:
            began = _now(clock)
            ways[name]()
            seconds[name].append(_now(clock) - began)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """``median``: the ratio of the medians; ``low`` and ``high``: the smallest and largest ratio of one round."""
    pairs = [mine / other for mine, other in zip(slow, fast, strict=True)]
    return dict(median=statistics.median(slow) / statistics.median(fast), low=min(pairs), high=max(pairs))


def _now(clock: str) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return CLOCKS[clock]()
