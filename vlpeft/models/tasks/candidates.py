"""Answers with their scores: what a search or a ranking found for one sample."""

from typing import NamedTuple


class Candidate(NamedTuple):
    """A ``text`` and its ``score``, the higher the better."""

    text: str
    score: float
