"""Score of an answer that the annotation lists with a score, as VL-T5's files do."""

from typing import Mapping


def label_score(prediction: str, label: Mapping[str, float]) -> float:
    """Score of the answer; 0 if it is not listed. Texts are compared as they stand, upper case and blanks included.

    Args:
        prediction (str): Predicted answer.
        label (Mapping[str, float]): Score, from 0 to 1, by answer; may be empty.
    """
    return float(label.get(prediction, 0))
