"""VQA v2: the challenge's accuracy, and the file its server takes."""

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from mmengine.logging import MMLogger

from vlpeft.evaluation.functional import vqa_accuracy
from vlpeft.registry import METRICS

from .base import ExactlyOnceMetric
from .questions import QuestionMetric


@METRICS.register_module()
class VQAMetric(QuestionMetric):
    """VQA accuracy (:func:`vlpeft.evaluation.functional.vqa_accuracy`), overall, per answer and per question type.

    mmpretrain's VQAAcc is another measure: it does not leave the annotators out in turn (three who agree give 1
    instead of 0.9) and normalises unanimous answers too. Results, metric names and arguments: :class:`QuestionMetric`;
    the prefix is 'vqa'.
    """

    default_prefix = 'vqa'

    def score(self, prediction: str, gold: Sequence[str]) -> float:
        return vqa_accuracy(prediction, gold)


@METRICS.register_module()
class VQASubmission(ExactlyOnceMetric):
    """Writes the answers for the VQA server: ``[{"question_id": int, "answer": str}, …]``, ordered by question.

    The file is written by the main process, whole or not at all. The server wants every question of a split, so one
    whose image could not be read gets an empty answer. The metric ``questions`` is the number of answers,
    ``unreadable``, if there are any, that of the empty ones.

    Args:
        out_file (str): File to write, ends with '.json'; its folder is made.
        prefix (str, optional): First part of the metric names. Defaults to 'vqa_submission'.

    Raises:
        ValueError: ``out_file`` has another ending.
    """

    default_prefix = 'vqa_submission'
    key_fields = ('question_id', )

    def __init__(self, out_file: str, prefix: Optional[str] = None) -> None:
        super().__init__(prefix=prefix)
        if not out_file.endswith('.json'):
            raise ValueError(f'out_file must end with .json, got {out_file}')
        self.out_file = Path(out_file)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep some answers.

        Args:
            data_batch: Not used.
            data_samples (Sequence[dict]): Each with ``question_id``, an integer, and ``pred_answer``.

        Raises:
            ValueError: A question id is no integer.
        """
        for sample in data_samples:
            number = sample['question_id']
            if not isinstance(number, int):
                raise ValueError(f'the VQA server identifies questions by integers, got question_id={number!r}')
            unreadable = 'unreadable' in sample
            self.results.append(
                dict(question_id=number, answer='' if unreadable else sample['pred_answer'], unreadable=unreadable))

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Write the file.

        Args:
            results (list[dict]): One result per question.
        """
        content = json.dumps([dict(question_id=result['question_id'], answer=result['answer']) for result in results])
        self.out_file.parent.mkdir(parents=True, exist_ok=True)
        part = self.out_file.with_name(f'{self.out_file.name}.{os.getpid()}.part')
        try:
            part.write_text(content, encoding='utf-8')
            os.replace(part, self.out_file)
        finally:
            part.unlink(missing_ok=True)
        logger = MMLogger.get_current_instance()
        logger.info(f'{len(results):,} answers for the VQA server are in {self.out_file}')
        unreadable = sum(result['unreadable'] for result in results)
        if not unreadable:
            return dict(questions=len(results))
        logger.warning(f'{unreadable} of them are empty: unreadable images')
        return dict(questions=len(results), unreadable=unreadable)
