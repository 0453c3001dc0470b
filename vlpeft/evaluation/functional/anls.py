"""Average normalised Levenshtein similarity of answers read from images (Biten et al., ICCV 2019: ST-VQA; DocVQA)."""

from collections.abc import Sequence

THRESHOLD = 0.5


def anls(prediction: str, gold: Sequence[str], threshold: float = THRESHOLD) -> float:
    """Similarity with the nearest of the right answers: ANLS of one question, whose mean over a set is reported.

        max_j s(NL(a_j, o)),    s(NL) = 1 - NL if NL < threshold else 0,
        NL(a, o) = edit_distance(a, o) / max(|a|, |o|)

    Upper case does not count; blanks do, but those at both ends go and several become one, as in the challenge's
    evaluator. That evaluator keeps a distance of exactly the threshold, which the paper's formula, used here, does not.

    Args:
        prediction: Predicted answer.
        gold: Right answers, one or more.
        threshold: Normalised distance, in (0, 1], from which on an answer counts as another one. Defaults to 0.5.

    Raises:
        ValueError: There is no right answer, or the threshold is out of range.
    """
    check_threshold(threshold)
    if not gold:
        raise ValueError('ANLS needs a right answer or more, got none')
    prediction = _plain(prediction)
    nearest = min(_distance(prediction, _plain(answer)) for answer in gold)
    return 1 - nearest if nearest < threshold else 0.0


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that :func:`anls` does not take.

    Raises:
        ValueError: It is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f'threshold must be above 0 and at most 1, got {threshold}')


def edit_distance(first: str, second: str) -> int:
    """Least number of characters to insert, delete or exchange that makes one text of the other (Levenshtein)."""
    row = list(range(len(second) + 1))
    for line, letter in enumerate(first, start=1):
        corner, row[0] = row[0], line
        for at, other in enumerate(second, start=1):
            corner, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, corner + (letter != other))
    return row[-1]


def _distance(first: str, second: str) -> float:
    """Normalised distance, from 0 to 1; of two empty texts 0."""
    longest = max(len(first), len(second))
    return edit_distance(first, second) / longest if longest else 0.0


def _plain(text: str) -> str:
    return ' '.join(text.lower().split())
