"""VQA v2: the challenge's accuracy, and the file its server takes."""

import json
from collections.abc import Sequence
from typing import Any

from vlpeft.evaluation.functional import check_spelling_rule, vqa_accuracy
from vlpeft.registry import METRICS

from .questions import QuestionMetric
from .submissions import Submission


@METRICS.register_module()
class VQAMetric(QuestionMetric):
    """VQA accuracy (:func:`vlpeft.evaluation.functional.vqa_accuracy`), overall, per answer and per question type.

    mmpretrain's VQAAcc is another measure: it does not leave the annotators out in turn (three who agree give 1
    instead of 0.9) and normalises unanimous answers too. Results and metric names: :class:`QuestionMetric`; the prefix
    is 'vqa'.

    Args:
        rule: Spelling rule, ``'official'`` or ``'vlt5'``: the older one that VL-PET and eP-ALM report. Defaults to
            ``'official'``.
        prefix: First part of the metric names. Defaults to 'vqa'.

    Raises:
        ValueError: There is no such rule.
    """

    default_prefix = 'vqa'

    def __init__(self, rule: str = 'official', prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        check_spelling_rule(rule)
        self.rule = rule

    def score(self, prediction: str, gold: Sequence[str]) -> float:
        return vqa_accuracy(prediction, gold, self.rule)


@METRICS.register_module()
class VQASubmission(Submission):
    """Writes the answers for the VQA server: ``[{"question_id": int, "answer": str}, …]``.

    A result has ``question_id``, an integer, and ``pred_answer``; an unreadable image gets an empty answer. The metric
    ``questions`` counts them. Arguments and errors: :class:`Submission`; the file ends with '.json', the prefix is
    'vqa_submission'.
    """

    default_prefix = 'vqa_submission'

    def entry(self, sample: dict, prediction: str) -> dict[str, Any]:
        number = sample['question_id']
        if not isinstance(number, int):
            raise ValueError(f'the VQA server identifies questions by integers, got question_id={number!r}')
        return dict(answer=prediction)

    def content(self, results: list[dict]) -> str:
        return json.dumps([{key: result[key] for key in ('question_id', 'answer')} for result in results])
