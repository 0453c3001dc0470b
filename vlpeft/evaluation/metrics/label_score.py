"""Mean soft score of answers: GQA's accuracy, and VL-T5's "top-k" score of VQA."""

from typing import Mapping

from vlpeft.evaluation.functional import label_score
from vlpeft.registry import METRICS

from .questions import QuestionMetric


@METRICS.register_module()
class LabelScoreMetric(QuestionMetric):
    """Mean of ``label[pred_answer]``, 0 if the generated text is not a key as it stands.

    GQA's accuracy in VL-PET. Of VQA it is a second figure beside :class:`VQAMetric`, which VL-T5 calls top-k score.
    Results have ``label`` (answer to score) instead of ``gold``; everything else is as in :class:`QuestionMetric`. The
    prefix is 'label_score'.
    """

    default_prefix = 'label_score'
    truth_field = 'label'

    def score(self, prediction: str, label: Mapping[str, float]) -> float:
        return label_score(prediction, label)
