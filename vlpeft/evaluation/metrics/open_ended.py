"""Accuracy of VideoQA: exact match over all questions."""

from collections.abc import Sequence

from vlpeft.evaluation.functional import exact_match
from vlpeft.registry import METRICS

from .questions import QuestionMetric


@METRICS.register_module()
class OpenEndedMetric(QuestionMetric):
    """Share of the questions whose answer is exactly a gold answer, overall and per question type.

    Every question of the test set counts. One whose gold answer is not in the model's closed list counts as wrong,
    because it can never be predicted; some codes drop such questions and report higher numbers. (The dataset logs how
    many there are.) Results, metric names and arguments: :class:`QuestionMetric`; the prefix is 'open_ended'.
    """

    default_prefix = 'open_ended'

    def score(self, prediction: str, gold: Sequence[str]) -> float:
        return exact_match(prediction, gold)
