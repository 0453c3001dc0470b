"""Soft scores of raw answers: GQA, and the second figure of VQA."""

import pytest

from vlpeft.evaluation.functional import label_score
from vlpeft.evaluation.metrics import LabelScoreMetric
from vlpeft.registry import METRICS

LABEL = {'yes': 1, 'no': 0.3}


@pytest.mark.parametrize(
    'prediction, label, expected',
    [
        ('yes', LABEL, 1),
        ('no', LABEL, 0.3),
        ('maybe', LABEL, 0),
        ('Yes', LABEL, 0),
        (' yes', LABEL, 0),
        ('yes.', LABEL, 0),
        ('', LABEL, 0),
        ('', {}, 0),
    ],
)
def test_only_the_raw_key_counts(prediction, label, expected):
    assert label_score(prediction, label) == expected


def test_mean_over_all_questions():
    metric = METRICS.build(dict(type='LabelScoreMetric', prefix='gqa'))
    rows = [('yes', LABEL), ('no', LABEL), ('cat', {'dog': 1.0}), ('', {})]
    metric.process(
        None,
        [
            dict(question_id=i, pred_answer=answer, label=label, gold=['never looked at'])
            for i, (answer, label) in enumerate(rows)
        ],
    )
    assert metric.evaluate(4) == pytest.approx({'gqa/accuracy': 100 * 1.3 / 4})


def test_a_question_without_label_is_an_error():
    with pytest.raises(ValueError, match="LabelScoreMetric: question 7 has no 'label'"):
        LabelScoreMetric().process(None, [dict(question_id=7, pred_answer='yes', gold=['yes'])])
