"""Answers with their scores: what a search or a ranking found for one sample."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Candidate(NamedTuple):
    """A text that was found for a sample.

    Attributes:
        text: It.
        score: By which the search or the ranking orders, the higher the better.
        probability: From 0 to 1. Of a written text the geometric mean of its tokens' probabilities, the end token's
            among them where it has one; of an answer from a list its probability among those that were compared.
    """

    text: str
    score: float
    probability: float


def among(texts: Sequence[str], scores: Sequence[float]) -> list[Candidate]:
    """Answers from a list, each with its log-likelihood: their probabilities sum to 1."""
    best = max(scores)
    shares = [math.exp(score - best) for score in scores]
    return [Candidate(text, score, share / sum(shares)) for text, score, share in zip(texts, scores, shares)]


def written(text: str, score: float, mean_log_prob: float) -> Candidate:
    """A text that was generated, token by token."""
    return Candidate(text, score, math.exp(mean_log_prob))
