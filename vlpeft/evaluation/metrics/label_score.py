"""Mean soft score of answers: GQA's accuracy, eP-ALM's of video questions, and VL-T5's "top-k" score of VQA."""

from collections.abc import Mapping

from vlpeft.evaluation.functional import check_normalisation, label_score
from vlpeft.registry import METRICS

from .questions import QuestionMetric


@METRICS.register_module()
class LabelScoreMetric(QuestionMetric):
    """Mean of ``label[pred_answer]``, 0 if the generated text is not a key.

    GQA's accuracy in VL-PET, as it stands, and with ``normalise='vqa'`` that of GQA, MSRVTT-QA and MSVD-QA in eP-ALM.
    Of VQA it is a second figure beside :class:`VQAMetric`, which VL-T5 calls top-k score. Results have ``label``
    (answer to score) instead of ``gold``; everything else is as in :class:`QuestionMetric`.

    Args:
        normalise: ``'none'``, or ``'vqa'`` to bring the text and the keys to one spelling before, see
            :func:`vlpeft.evaluation.functional.label_score`. Defaults to ``'none'``.
        prefix: First part of the metric names. Defaults to 'label_score'.

    Raises:
        ValueError: There is no such normalisation.
    """

    default_prefix = 'label_score'
    truth_field = 'label'

    def __init__(self, normalise: str = 'none', prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        check_normalisation(normalise)
        self.normalise = normalise

    def score(self, prediction: str, label: Mapping[str, float]) -> float:
        return label_score(prediction, label, self.normalise)
