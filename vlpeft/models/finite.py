"""Answers come from numbers: an evaluation stops at the first sample whose scores are none.

Comparisons with NaN are all false, so an argmax, a top-k or a rank of NaN is an answer like any other: the first of a
list, which is often the most frequent one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

IDS = ('question_id', 'sample_id', 'clip_id', 'name')


class NonFiniteError(ValueError):
    """Scores that are not finite.

    Args:
        what: What they are.
        sample: Whose they are: the row of a batch, until :func:`naming` says which sample it is.
    """

    def __init__(self, what: str, sample: int | str) -> None:
        super().__init__(what, sample)
        self.what, self.sample = what, sample

    def __str__(self) -> str:
        whose = f'row {self.sample} of the batch' if isinstance(self.sample, int) else self.sample
        return (
            f'{whose}: {self.what} are not finite, so there is nothing to evaluate; look for NaN or Inf in the '
            'weights and in this input, or for an overflow of the type it is computed in'
        )


def check_finite(what: str, scores: Tensor, rows_per_sample: int = 1) -> None:
    """Refuse scores that are not finite.

    Args:
        what: What they are, for the message.
        scores: (B * rows_per_sample, …), of B samples.
        rows_per_sample: Neighbouring rows that belong to one sample, such as beams. Defaults to 1.

    Raises:
        NonFiniteError: One is NaN or infinite; names the row of the first such sample.
    """
    _check(what, torch.isfinite(scores), rows_per_sample)


def next_token_known(scores: Tensor) -> Tensor:
    """(B,) whether logits or log-likelihoods (B, V) of the next token are numbers; minus infinity, which rules a token
    out, is one.
    """
    return (scores < torch.inf).all(1)


def refuse_unknown(known: Tensor, rows_per_sample: int = 1) -> None:
    """Errors of :func:`check_finite`, of what :func:`next_token_known` has found."""
    _check('logits of the next token', known, rows_per_sample)


def only_numbers(count: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A step of transformers' generation for ``count`` samples, which refuses scores that are not finite."""

    def check(ids: Tensor, scores: Tensor) -> Tensor:
        refuse_unknown(next_token_known(scores), len(scores) // count)
        return scores

    return check


def _check(what: str, is_right: Tensor, rows_per_sample: int) -> None:
    right = is_right.flatten(1).all(1) if is_right.ndim > 1 else is_right
    if not right.all():
        raise NonFiniteError(what, int((~right).nonzero()[0]) // rows_per_sample)


@contextmanager
def naming(data_samples: Sequence) -> Iterator[None]:
    """Puts the sample into a complaint about a row of its batch.

    Args:
        data_samples: The batch, with what there is of ``IDS``, or names.

    Raises:
        NonFiniteError: The block raises one.
    """
    try:
        yield
    except NonFiniteError as error:
        raise NonFiniteError(error.what, label(data_samples[error.sample])) from error


def label(sample) -> str:
    """What a message calls a sample: its ids and the name of its clip, or the text that it is."""
    if isinstance(sample, str):
        return sample
    found = [f'{key} {sample.get(key)!r}' for key in IDS if key in sample]
    return ', '.join(found) or 'a sample without id'
