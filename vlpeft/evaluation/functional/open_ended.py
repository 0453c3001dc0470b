"""Exact match of open-ended answers, as VideoQA reports it."""

from collections.abc import Sequence


def exact_match(prediction: str, gold: Sequence[str]) -> float:
    """1 if the prediction is one of the gold answers, else 0; upper case and blanks at both ends do not count.

    Args:
        prediction: Predicted answer.
        gold: Right answers; one in VideoQA.
    """
    return float(_plain(prediction) in {_plain(answer) for answer in gold})


def _plain(text: str) -> str:
    return text.strip().lower()
