"""Exact match over all questions, per type of question; test_vqa_accuracy has what it shares with VQAMetric."""

import pytest
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from vlpeft.evaluation.functional import exact_match
from vlpeft.evaluation.metrics import OpenEndedMetric
from vlpeft.registry import METRICS


@pytest.mark.parametrize(
    'prediction, gold, expected',
    [
        ('dog', ['dog'], 1),
        ('Dog ', ['dog'], 1),
        ('dog', [' DOG'], 1),
        ('dogs', ['dog'], 0),
        ('dog', ['dogs'], 0),
        ('the dog', ['dog'], 0),
        ('dog.', ['dog'], 0),
        ('', ['dog'], 0),
        ('cat', ['dog', 'cat'], 1),
        ('two', ['2'], 0),
    ],
)
def test_match(prediction, gold, expected):
    assert exact_match(prediction, gold) == expected


def samples():
    rows = [
        ('what', 'dog', 'dog'),
        ('what', 'cat', 'dog'),
        ('what', 'run', 'run'),
        ('who', 'man', 'woman'),
        ('how', 'two', 'two'),
        ('when', 'night', 'day'),
    ]
    return [
        dict(question_id=number, question_type=kind, pred_answer=answer, gold=[gold])
        for number, (kind, answer, gold) in enumerate(rows)
    ]


EXPECTED = {
    'open_ended/accuracy': 50.0,
    'open_ended/question_type/what': 200 / 3,
    'open_ended/question_type/who': 0.0,
    'open_ended/question_type/how': 100.0,
    'open_ended/question_type/when': 0.0,
}


def test_all_questions_count_through_mmengines_evaluator():
    evaluator = Evaluator(METRICS.build(dict(type='OpenEndedMetric')))
    evaluator.process(data_samples=samples()[:2])
    evaluator.process(data_samples=[BaseDataElement(**sample) for sample in samples()[2:]])
    assert evaluator.evaluate(6) == pytest.approx(EXPECTED)


def test_an_answer_that_no_list_holds_counts_as_wrong():
    """A model that may only say 'dog' or 'run' cannot be right about 'two' and is not spared the question."""
    metric = OpenEndedMetric()
    metric.process(
        None,
        [
            dict(sample, pred_answer=sample['gold'][0] if sample['gold'][0] in ('dog', 'run') else 'dog')
            for sample in samples()
        ],
    )
    assert metric.evaluate(6)['open_ended/accuracy'] == 50.0


def test_text_ids_padding_and_conflicts():
    metric = OpenEndedMetric()
    named = [dict(sample, question_id=f'q{sample["question_id"]}') for sample in samples()]
    metric.process(None, named + named[:2])
    assert metric.evaluate(6) == pytest.approx(EXPECTED)
    metric.process(None, named + [dict(named[0], pred_answer='cat')])
    with pytest.raises(ValueError, match="two different results for one sample.*'answer': 'cat'"):
        metric.evaluate(6)
