"""Questions with scored answers, in the layout that VL-T5 took over from LXMERT."""

from .annotations import AnnotationError
from .own_clips import is_number
from .records import field


def read_scored_question(where: str, record: dict, *id_types: type, name: str = 'img_id') -> dict:
    """The question of a record ``{img_id, question_id, question or sent, label: {answer: score}}``.

    Args:
        where: Place for messages.
        record: See above; without ``label`` the answers are not public.
        *id_types: Types that ``question_id`` may have.
        name: Key of the file that is asked about. Defaults to 'img_id'.

    Returns:
        ``name`` (what stands under the key), ``question``, ``question_id`` and, with a label, ``label`` for the
        evaluation and the same as ``weights`` for training.

    Raises:
        AnnotationError: A key is missing, a value is of another type, or a score is negative.
    """
    question = dict(
        name=field(where, record, name, str),
        question=field(where, record, 'question' if 'question' in record else 'sent', str),
        question_id=field(where, record, 'question_id', *id_types),
    )
    if 'label' in record:
        label = read_label(where, record)
        question.update(label=label, weights=label)
    return question


def read_label(where: str, record: dict) -> dict[str, float]:
    """``label`` of a record, an object of answers with scores; it may be empty.

    Raises:
        AnnotationError: It is no object, or a score is not a number from 0.
    """
    label = field(where, record, 'label', dict)
    for answer, score in label.items():
        if not is_number(score) or score < 0:
            raise AnnotationError(
                f"{where}: 'label': the score of '{answer}' must be a number from 0, got {score!r:.40}"
            )
    return label
