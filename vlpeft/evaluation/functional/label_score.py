"""Score of an answer that the annotation lists with a score, as VL-T5's files do."""

from collections.abc import Mapping

from .vqa import normalise_answer

NORMALISATIONS = ('none', 'vqa')


def label_score(prediction: str, label: Mapping[str, float], normalise: str = 'none') -> float:
    """Score of the answer; 0 if it is not listed.

    Args:
        prediction: Predicted answer.
        label: Score, from 0 to 1, by answer; may be empty.
        normalise: ``'none'``: texts are compared as they stand, upper case and blanks included. ``'vqa'``: the
            prediction and the listed answers are brought to one spelling (:func:`normalise_answer`), as eP-ALM does for
            GQA, MSRVTT-QA and MSVD-QA; of listed answers that become the same, the highest score counts. Defaults to
            ``'none'``.

    Raises:
        ValueError: There is no such normalisation.
    """
    check_normalisation(normalise)
    if normalise == 'none':
        return float(label.get(prediction, 0))
    prediction = normalise_answer(prediction)
    return float(max((score for answer, score in label.items() if normalise_answer(answer) == prediction), default=0))


def check_normalisation(normalise: str) -> None:
    """Refuse a normalisation that :func:`label_score` does not know.

    Raises:
        ValueError: It is not in ``NORMALISATIONS``.
    """
    if normalise not in NORMALISATIONS:
        raise ValueError(f'unknown normalise={normalise!r}, valid: {", ".join(NORMALISATIONS)}')
