"""NLVR2: accuracy, consistency, and the file for the test that is not public."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vlpeft.evaluation.functional import consistency, exact_match, mean_intervals, nlvr2_group
from vlpeft.registry import METRICS

from .base import Intervals, sort_out
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

    def intervals(self) -> Intervals:
        """Intervals of accuracy and consistency; the items of a statement are resampled together."""
        scored = [result for result in self.predictions if 'score' in result]
        groups = [nlvr2_group(result['question_id']) for result in scored]
        ends = mean_intervals([result['score'] for result in scored], self._groups(scored), groups)
        all_right: dict[str, bool] = {}
        for group, result in zip(groups, scored):
            all_right[group] = all_right.get(group, True) and result['score'] == 1
        everything = dict(consistency=np.ones(len(all_right), dtype=bool))
        ends.update(mean_intervals([float(right) for right in all_right.values()], everything))
        return sort_out(ends, f'{len(all_right):,} statements with {len(scored):,} items', scale=100)


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
