"""The global random generators: what a piece of code draws from them, and hiding it from the rest of a run."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_of(text: str) -> int:
    """A seed that is the same in every process and run."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], 'little')


def _states() -> tuple:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All generators start at ``seed``, and go on afterwards as if nothing had been drawn."""
    python, numpy, torch_state = _states()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)


@contextmanager
def unchanged_generators(step: str) -> Iterator[None]:
    """Refuses a step that draws from a generator.

    Raises:
        ValueError: It does; the message has its name.
    """
    with seeded(0):
        python, numpy, torch_state = _states()
        yield
        now = _states()
        if now[0] != python or not torch.equal(now[2], torch_state) or not np.array_equal(now[1][1], numpy[1]) or (
                now[1][2] != numpy[2]):
            raise ValueError(f'{step} draws at random, so the vectors of a file differ from epoch to epoch; remove it '
                             'from the pipeline, or set views=n of the cache to draw from n fixed views of each file')
