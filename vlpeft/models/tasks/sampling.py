"""Drawing answers, in place of taking the likeliest."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from .seq2seq_task import check_counts


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn token by token; the same seed draws the same.

    Attributes:
        temperature: By which logits are divided, above 0: below 1 likely tokens become likelier.
        seed: Of the random numbers.
        top_p: The likeliest tokens are drawn whose probabilities sum up to this, above 0 and at most 1. Defaults to 1,
            any token.

    Raises:
        ValueError: A number outside of these.
    """

    temperature: float
    seed: int
    top_p: float = 1.0

    def __post_init__(self) -> None:
        check_counts(seed=(self.seed, 0))
        for name, value, most in (('temperature', self.temperature, None), ('top_p', self.top_p, 1)):
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not is_number or value <= 0 or (most is not None and value > most):
                raise ValueError(f'{name}={value!r}; it is a number above 0' + f' and at most {most}' * bool(most))

    def settings(self) -> dict[str, Any]:
        """Of transformers' ``GenerationConfig``; there the default of ``top_k`` is 50."""
        return dict(do_sample=True, temperature=float(self.temperature), top_p=float(self.top_p), top_k=0)

    @contextmanager
    def seeded(self, device: torch.device) -> Iterator[None]:
        """Inside the ``with`` block torch draws from the seed; what it draws elsewhere stays as it is."""
        with torch.random.fork_rng([device] if device.type == 'cuda' else []):
            torch.manual_seed(self.seed)
            yield
