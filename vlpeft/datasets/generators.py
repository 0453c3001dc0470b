"""The global random generators: their states, what a piece of code draws from them, hiding that from the run."""

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_of(text: str) -> int:
    """A seed that is the same in every process and run."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], 'little')


def generator_states() -> dict[str, Any]:
    """States of the generators of Python, NumPy and torch, of its CPU and, where there is one, its GPU."""
    states = dict(python=random.getstate(), numpy=np.random.get_state(), torch=torch.get_rng_state())
    if torch.cuda.is_available():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def restore_generators(states: Mapping[str, Any]) -> None:
    """Puts the generators into ``states``, of :func:`generator_states`; one that is not there stays as it is."""
    setters = dict(python=random.setstate, numpy=np.random.set_state, torch=torch.set_rng_state)
    if torch.cuda.is_available():
        setters['cuda'] = torch.cuda.set_rng_state
    for name, set_state in setters.items():
        if name in states:
            set_state(states[name])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All generators of the CPU start at ``seed``, and go on afterwards as if nothing had been drawn."""
    python, numpy, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
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
        python, numpy, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
        yield
        now = np.random.get_state()
        if (
            random.getstate() != python
            or not torch.equal(torch.get_rng_state(), torch_state)
            or (not np.array_equal(now[1], numpy[1]) or now[2] != numpy[2])
        ):
            raise ValueError(
                f'{step} draws at random, so the vectors of a file differ from epoch to epoch; remove it '
                'from the pipeline, or set views=n of the cache to draw from n fixed views of each file'
            )
