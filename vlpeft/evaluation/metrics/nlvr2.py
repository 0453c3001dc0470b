"""NLVR2: accuracy, consistency, and the file for the test that is not public."""

from collections.abc import Sequence
from typing import Any

from vlpeft.evaluation.functional import consistency, exact_match, nlvr2_group
from vlpeft.registry import METRICS

from .questions import QuestionMetric
from .submissions import Submission


@METRICS.register_module()
class NLVR2Metric(QuestionMetric):
    """Accuracy, and ``consistency``: the share of statements judged right about all their pairs of images, in per cent.

    ``question_id`` is NLVR2's identifier, like 'dev-850-1-0'; answers are 'true' or 'false'. Unreadable items count for
    neither measure. Results and arguments: :class:`QuestionMetric`; the prefix is 'nlvr2'.
    """

    default_prefix = 'nlvr2'

    def score(self, prediction: str, gold: Sequence[str]) -> float:
        return exact_match(prediction, gold)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Accuracy and consistency.

        Args:
            results: One result per item.

        Raises:
            ValueError: No item is left, or an identifier has not four fields.
        """
        metrics = super().compute_metrics(results)
        scored = [result for result in results if 'score' in result]
        groups = [nlvr2_group(result['question_id']) for result in scored]
        metrics['consistency'] = 100 * consistency(groups, [result['score'] == 1 for result in scored])
        return metrics


@METRICS.register_module()
class NLVR2Submission(Submission):
    """Writes a line ``identifier,True`` or ``identifier,False`` for each item.

    A result has ``question_id``, the identifier, and ``pred_answer``: 'true', or else the line says False, as for an
    unreadable image. Arguments and errors: :class:`Submission`; the file ends with '.csv', the prefix is
    'nlvr2_submission'.
    """

    default_prefix = 'nlvr2_submission'
    ending = '.csv'
    blank = 'false'

    def entry(self, sample: dict, prediction: str) -> dict[str, Any]:
        return dict(judgement=exact_match(prediction, ['true']) == 1)

    def content(self, results: list[dict]) -> str:
        return ''.join(f'{result["question_id"]},{result["judgement"]}\n' for result in results)
