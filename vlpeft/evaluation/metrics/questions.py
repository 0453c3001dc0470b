"""Mean score of answered questions: overall, per question type and per answer type."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import MMLogger

from vlpeft.evaluation.functional import mean_intervals

from .base import ExactlyOnceMetric, Intervals, files_of, sort_out, unit_of

GROUPS = ('answer_type', 'question_type')


class QuestionMetric(ExactlyOnceMetric):
    """Base of metrics of question answering. A subclass scores one answer (:meth:`score`).

    A result is ``dict(question_id, pred_answer, gold, …)`` (the last is ``truth_field``) with optional
    ``question_type`` and ``answer_type``. The metrics are ``accuracy`` (or what ``figure`` names) and, for each type
    there is, ``question_type/<type>`` and ``answer_type/<type>`` (blanks and slashes of the type's name become
    underscores), in per cent. Questions whose clip could not be read (``unreadable``) are left out, and ``left_out``
    says how many. ``predictions`` keep the question, its clip's ``name`` and the truth beside ``answer`` and ``score``.

    Args:
        prefix (str): First part of the metric names. Defaults to ``default_prefix`` of the class.
    """

    key_fields = ('question_id',)
    truth_field = 'gold'
    figure = 'accuracy'

    def judge(self, sample: dict) -> dict[str, Any]:
        """What is found out about the answer of a sample that has a truth: its ``score``, and what else is kept."""
        return dict(score=self.score(sample['pred_answer'], sample[self.truth_field]))

    def score(self, prediction: str, truth: Any) -> float:
        """Score of one answer, from 0 to 1."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score some answers.

        Args:
            data_batch: Not used.
            data_samples: Results as in the class docstring; further keys are ignored.

        Raises:
            ValueError: A question lacks ``truth_field``, or its score is not finite.
        """
        for sample in data_samples:
            result = dict(question_id=sample['question_id'], answer=sample['pred_answer'])
            kept = ('question', 'name', self.truth_field, *GROUPS)
            result.update({field: sample[field] for field in kept if field in sample})
            if 'unreadable' in sample:
                result['unreadable'] = sample['unreadable']
            elif self.truth_field not in sample:
                raise ValueError(
                    f'{type(self).__name__}: question {sample["question_id"]!r} has no '
                    f"'{self.truth_field}'; of a set whose answers are not public, write a submission "
                    '(VQASubmission, GQASubmission, NLVR2Submission, VALUESubmission)'
                )
            else:
                result.update(self.judge(sample))
                if not math.isfinite(result['score']):
                    raise ValueError(
                        f'{type(self).__name__}: the score of question {sample["question_id"]!r} is '
                        f"{result['score']}; look at its '{self.truth_field}'"
                    )
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Means over all questions and over each type.

        Args:
            results: One result per question.

        Raises:
            ValueError: No question is left.
        """
        scored = [result for result in results if 'score' in result]
        if not scored:
            raise ValueError(f'{type(self).__name__}: none of {len(results)} questions has a readable clip')
        scores = np.array([result['score'] for result in scored])
        metrics = {name: 100 * float(scores[inside].mean()) for name, inside in self._groups(scored).items()}
        if len(scored) < len(results):
            metrics['left_out'] = len(results) - len(scored)
            MMLogger.get_current_instance().warning(
                f'{metrics["left_out"]} of {len(results)} questions are left out of the metrics: unreadable clips'
            )
        return metrics

    def intervals(self) -> Intervals:
        """Intervals of all means; the questions about one file are resampled together."""
        scored = [result for result in self.predictions if 'score' in result]
        files = files_of(scored)
        ends = mean_intervals([result['score'] for result in scored], self._groups(scored), files)
        return sort_out(ends, unit_of(files, len(scored), 'questions'), scale=100)

    def _groups(self, scored: list[dict]) -> dict[str, np.ndarray]:
        """Which results each figure is the mean of, by its name."""
        tags = [{f'{group}/{_tag(result[group])}' for group in GROUPS if group in result} for result in scored]
        groups = {self.figure: np.ones(len(scored), dtype=bool)}
        for name in sorted(set().union(*tags)):
            groups[name] = np.array([name in own for own in tags])
        return groups


def _tag(name: str) -> str:
    return re.sub(r'[\s/]+', '_', name)
