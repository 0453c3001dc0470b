"""The file that GQA's server takes."""

import json
from typing import Any

from vlpeft.registry import METRICS

from .submissions import Submission


@METRICS.register_module()
class GQASubmission(Submission):
    """Writes the answers for the GQA server: ``[{"questionId": str, "prediction": str}, …]``.

    A result has ``question_id`` and ``pred_answer``; an unreadable image gets an empty prediction. Arguments and
    errors: :class:`Submission`; the file ends with '.json', the prefix is 'gqa_submission'.
    """

    default_prefix = 'gqa_submission'

    def entry(self, sample: dict, prediction: str) -> dict[str, Any]:
        return dict(prediction=prediction)

    def content(self, results: list[dict]) -> str:
        return json.dumps(
            [dict(questionId=str(result['question_id']), prediction=result['prediction']) for result in results]
        )
