"""ANLS: answers read from documents and scene text, one slip of a letter forgiven in part."""

from collections.abc import Sequence

from vlpeft.evaluation.functional import anls, check_threshold
from vlpeft.registry import METRICS

from .questions import QuestionMetric


@METRICS.register_module()
class ANLSMetric(QuestionMetric):
    """Average normalised Levenshtein similarity (:func:`vlpeft.evaluation.functional.anls`), times 100.

    The figures are ``ANLS`` and its means per question type and answer type. Results: :class:`QuestionMetric`.

    Args:
        threshold: Normalised distance from which on an answer scores 0, in (0, 1]. Defaults to 0.5.
        prefix: First part of the metric names. Defaults to 'anls'.

    Raises:
        ValueError: The threshold is out of range.
    """

    default_prefix = 'anls'
    figure = 'ANLS'

    def __init__(self, threshold: float = 0.5, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        check_threshold(threshold)
        self.threshold = threshold

    def score(self, prediction: str, gold: Sequence[str]) -> float:
        return anls(prediction, gold, self.threshold)
