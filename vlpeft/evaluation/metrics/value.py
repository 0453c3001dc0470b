"""The files that VALUE's server takes for TVQA, How2QA, TVC and YC2C."""

import json
import re
from typing import Any

from vlpeft.registry import METRICS

from .submissions import Submission

CHOICES = dict(tvqa=5, how2qa=4)
CLIP_FIELDS = dict(tvc=('vid_name', 'clip_id', 'ts'), yc2c=('vid_name', 'clip_id'))
CHOICE = re.compile(r'a(\d)')


@METRICS.register_module()
class VALUESubmission(Submission):
    """Writes the predictions for a task of the VALUE benchmark (Li et al., NeurIPS 2021), see :class:`Submission`.

    * TVQA, How2QA: one JSON object ``{"qid": index of the choice}``. Results have ``question_id`` and ``pred_answer``,
      'a0' to 'a4' or 'a3'; any other answer counts as 0, and the metric ``unparsed`` says how many there were.
    * TVC, YC2C: a JSON object a line, ``{"vid_name", "clip_id", "ts", "descs": [{"desc": caption}]}``, without
      ``ts`` for YC2C. Results have ``sample_id``, ``pred_caption`` and these fields.

    Args:
        task: ``'tvqa'``, ``'how2qa'``, ``'tvc'`` or ``'yc2c'``.
        out_file: File to write, ends with '.json' for questions and with '.jsonl' for captions; its folder is made.
        prefix: First part of the metric names. Defaults to 'value_submission'.

    Raises:
        ValueError: There is no such task, or ``out_file`` has another ending.
    """

    default_prefix = 'value_submission'

    def __init__(self, task: str, out_file: str, prefix: str | None = None) -> None:
        if task not in (*CHOICES, *CLIP_FIELDS):
            raise ValueError(f'unknown task {task!r}, valid: {", ".join((*CHOICES, *CLIP_FIELDS))}')
        if task in CLIP_FIELDS:
            self.ending, self.counts = '.jsonl', 'captions'
            self.key_fields, self.prediction_field = ('sample_id',), 'pred_caption'
        super().__init__(out_file, prefix=prefix)
        self.task = task

    def entry(self, sample: dict, prediction: str) -> dict[str, Any]:
        if self.task in CHOICES:
            return dict(choice=parse_choice(prediction, CHOICES[self.task]))
        clip = {field: sample[field] for field in CLIP_FIELDS[self.task]}
        return dict(line=dict(clip, descs=[dict(desc=prediction)]))

    def content(self, results: list[dict]) -> str:
        if self.task in CHOICES:
            return json.dumps({result['question_id']: result['choice'] or 0 for result in results})
        return ''.join(f'{json.dumps(result["line"])}\n' for result in results)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        metrics = super().compute_metrics(results)
        if self.task in CHOICES:
            metrics['unparsed'] = sum(result['choice'] is None and not result['unreadable'] for result in results)
        return metrics


def parse_choice(answer: str, choices: int) -> int | None:
    """Index of a choice from 'a0', 'a1', …; None if the answer is no such text. Blanks at both ends do not count.

    Args:
        answer: Generated answer.
        choices: Number of choices.
    """
    found = CHOICE.fullmatch(answer.strip())
    return int(found[1]) if found and int(found[1]) < choices else None
