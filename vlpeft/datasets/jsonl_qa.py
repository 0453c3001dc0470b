"""Question answering on own data: JSON lines or one JSON list."""

from collections.abc import Iterator

from ..registry import DATASETS
from .annotations import AnnotationError
from .base_qa import BaseQA, question_type
from .own_clips import is_number, is_text, read_own
from .records import field

KEYS = ('video', 'image', 'question', 'answer', 'answers', 'question_id', 'id', 'start', 'end')


@DATASETS.register_module()
class JSONLQA(BaseQA):
    """Own data: objects ``{"video" or "image": path, "question": str, "answer": str or {answer: score}, …}``.

    The file holds an object a line or one JSON list of them, or conversations (:mod:`.chat_records`). Paths are
    relative to the media folder (``data_prefix=dict(media=…)``, by default ``data_root``, by default the folder of the
    file); ``image`` may list several. Scores, above 0, weigh the answers in training; a test takes any of them as
    right. ``answers``, in place of ``answer``, are those of several annotators: texts, or objects with ``answer``;
    their shares are the weights. Optional: ``question_id`` or ``id`` (by default the number of the question, from 0),
    and ``start`` and ``end``, seconds of a video. A test set may do without answers. Other unknown keys are passed over
    with a line in the log. Arguments and errors: :class:`BaseQA`.
    """

    def load_questions(self, path: str) -> Iterator[tuple[str, dict]]:
        own = read_own(path, self.data_prefix['media'], self.data_root, KEYS, several=True)
        for number, (where, record, clip, chat) in enumerate(own):
            text = record.get('question') if chat is None else chat.question
            if not is_text(text):
                said = "'question' must be a text" if chat is None else 'no turn of the user asks for the last answer'
                raise AnnotationError(f'{where}: {said}; keys found: {", ".join(record)}')
            key = next((key for key in ('question_id', 'id') if key in record), None)
            if key is not None:
                number = field(where, record, key, int, str)
            answers = _answers(where, record) if chat is None else dict(gold=[chat.target])
            yield where, dict(clip, question=text, question_id=number, question_type=question_type(text), **answers)


def _answers(where: str, record: dict) -> dict:
    """``gold`` and, where there are scores, ``weights``."""
    if 'answers' in record:
        if 'answer' in record:
            raise AnnotationError(f"{where}: 'answer' and 'answers' exclude each other")
        return dict(gold=_annotators(where, record['answers']))
    if 'answer' not in record:
        return {}
    answer = record['answer']
    if is_text(answer):
        return dict(gold=[answer])
    if not isinstance(answer, dict) or not answer or not all(map(is_text, answer)):
        raise AnnotationError(
            f"{where}: 'answer' must be a text or an object {{answer: score}}, not empty; a list of "
            "the answers of several annotators is 'answers'"
        )
    for text, score in answer.items():
        if not is_number(score) or score <= 0:
            raise AnnotationError(f"{where}: the score of '{text}' must be a number above 0, got {score!r:.40}")
    return dict(gold=list(answer), weights=answer)


def _annotators(where: str, answers: object) -> list[str]:
    """Texts of a list of texts or of visualqa.org's objects ``{"answer": text, …}``."""
    listed = answers if isinstance(answers, list) else []
    texts = [entry.get('answer') if isinstance(entry, dict) else entry for entry in listed]
    if not texts or not all(map(is_text, texts)):
        raise AnnotationError(
            f"{where}: 'answers' must be a list of the annotators' answers, texts or objects with "
            "'answer', none of them empty"
        )
    return texts
