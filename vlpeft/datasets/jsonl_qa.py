"""Question answering on own data: one JSON object a line."""

import math
from collections.abc import Iterator
from numbers import Real

from ..registry import DATASETS
from .annotations import AnnotationError, read_jsonl
from .base_qa import BaseQA, question_type
from .own_clips import is_text, read_clip
from .records import field

KEYS = ('video', 'image', 'question', 'answer', 'question_id', 'start', 'end')


@DATASETS.register_module()
class JSONLQA(BaseQA):
    """Own data: JSON lines ``{"video" or "image": path, "question": str, "answer": str or {answer: score}, …}``.

    Paths are relative to the media folder (``data_prefix=dict(media=…)``, by default ``data_root``, by default the
    folder of the file). Scores, above 0, weigh the answers in training; a test takes any of them as right. Optional:
    ``question_id`` (by default the number of the question, from 0), and ``start`` and ``end``, seconds of a video. A
    test set may do without ``answer``. Arguments and errors: :class:`BaseQA`.
    """

    def load_questions(self, path: str) -> Iterator[tuple[str, dict]]:
        folder = self.data_prefix['media']
        for number, (where, record) in enumerate(read_jsonl(path)):
            clip = read_clip(where, record, folder, (self.data_root, folder), KEYS)
            text = record.get('question')
            if not is_text(text):
                raise AnnotationError(f"{where}: 'question' must be a text")
            if 'question_id' in record:
                number = field(where, record, 'question_id', int, str)
            yield where, dict(clip, question=text, question_id=number, question_type=question_type(text),
                              **_answers(where, record))


def _answers(where: str, record: dict) -> dict:
    """``gold`` and, where there are scores, ``weights``."""
    if 'answer' not in record:
        return {}
    answer = record['answer']
    if is_text(answer):
        return dict(gold=[answer])
    if not isinstance(answer, dict) or not answer or not all(map(is_text, answer)):
        raise AnnotationError(f"{where}: 'answer' must be a text or an object {{answer: score}}, not empty")
    for text, score in answer.items():
        if not isinstance(score, Real) or isinstance(score, bool) or not 0 < score < math.inf:
            raise AnnotationError(f"{where}: the score of '{text}' must be a number above 0, got {score!r}")
    return dict(gold=list(answer), weights=answer)
