"""Accuracy of multiple choice, the letter being read from free text."""

from vlpeft.evaluation.functional import named_choices
from vlpeft.registry import METRICS

from .questions import QuestionMetric


@METRICS.register_module()
class ChoiceMetric(QuestionMetric):
    """Share of the questions whose answer names the right choice and no other.

    A result also has ``choices``, the texts by letter, and its ``gold`` is one letter. Which letters an answer names
    says :func:`vlpeft.evaluation.functional.named_choices`; they are kept as ``named``. An answer that names several
    or none is wrong, and ``ambiguous`` and ``unanswered`` say how many there were. Further figures and results:
    :class:`QuestionMetric`.

    Args:
        prefix (str): First part of the metric names. Defaults to 'choice'.
    """

    default_prefix = 'choice'

    def judge(self, sample: dict) -> dict:
        gold, choices = sample[self.truth_field], sample.get('choices')
        if not choices:
            raise ValueError(f"ChoiceMetric: question {sample['question_id']!r} has no 'choices', texts by letter")
        if len(gold) != 1 or gold[0] not in choices:
            raise ValueError(
                f'ChoiceMetric: the right answer of question {sample["question_id"]!r} must be one of the letters '
                f'{", ".join(choices)}, got {", ".join(map(repr, gold)) or "none"}'
            )
        named = sorted(named_choices(sample['pred_answer'], choices))
        return dict(named=named, score=float(named == list(gold)))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Accuracies, and how many answers name several choices or none.

        Args:
            results: One result per question.
        """
        metrics = super().compute_metrics(results)
        named = [len(result['named']) for result in results if 'named' in result]
        metrics.update(ambiguous=sum(count > 1 for count in named), unanswered=named.count(0))
        return metrics
