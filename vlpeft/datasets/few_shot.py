"""A declared part of a set, for few-shot runs and for shorter validations."""

from numbers import Real

import numpy as np

FIRST = 'first'


def check_fraction(fraction: float | None, seed: int | str | None) -> None:
    """Refuse a fraction that :func:`take_fraction` cannot take.

    Raises:
        ValueError: ``fraction`` outside of (0, 1], or not exactly one of both given, or an unknown ``seed``.
    """
    if fraction is None and seed is None:
        return
    if fraction is None or seed is None:
        raise ValueError(
            f'fraction and seed belong together, got fraction={fraction!r}, seed={seed!r}: seed=0 draws '
            f"the samples, seed='{FIRST}' takes the first ones"
        )
    if not isinstance(fraction, Real) or not 0 < fraction <= 1:
        raise ValueError(f'fraction must be a number in (0, 1], got {fraction!r}')
    if seed != FIRST and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
        raise ValueError(f"seed must be an integer from 0 or '{FIRST}', got {seed!r}")


def take_fraction(samples: list, fraction: float, seed: int | str) -> list:
    """floor(fraction * N) of N samples, at least one, in their order.

    With the same seed a smaller part lies within every larger one, so that curves over the fraction add samples and
    never exchange them.

    Args:
        samples: All N samples.
        fraction: Share kept, in (0, 1].
        seed: An integer draws the samples without replacement, whatever the run's own seed; 'first' takes the first
            ones.

    Returns:
        The part.
    """
    # The margin keeps a fraction written as n / N at n.
    kept = max(1, int(fraction * len(samples) + 1e-9))
    if seed == FIRST:
        return samples[:kept]
    chosen = np.random.default_rng(seed).permutation(len(samples))[:kept]
    return [samples[index] for index in sorted(chosen.tolist())]
