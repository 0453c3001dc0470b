"""NLVR2: values worked out by hand, and the submission; test_two_processes has the metric in two processes."""

import pytest
from mmengine.evaluator import Evaluator

from vlpeft.evaluation.functional import consistency, nlvr2_group
from vlpeft.evaluation.metrics import NLVR2Metric, NLVR2Submission
from vlpeft.registry import METRICS


def sample(identifier, prediction, gold):
    return dict(question_id=identifier, pred_answer=prediction, gold=[gold])


def samples():
    """Statements 850--0 (two pairs, one judged wrong), 850--1 and 851--0: 3 of 4 right, 2 of 3 statements."""
    return [
        sample('dev-850-0-0', 'true', 'true'),
        sample('dev-850-1-0', 'true', 'false'),
        sample('dev-850-0-1', 'false', 'false'),
        sample('dev-851-0-0', 'true', 'true'),
    ]


EXPECTED = {'nlvr2/accuracy': 75.0, 'nlvr2/consistency': 200 / 3}


def test_groups_are_statements_of_a_set_of_pairs():
    assert nlvr2_group('dev-850-0-0') == nlvr2_group('dev-850-3-0') != nlvr2_group('dev-850-0-1')
    assert nlvr2_group('dev-850-0-0') != nlvr2_group('dev-85-0-0')
    assert nlvr2_group('train-10171-2-1') == 'train-10171--1'
    with pytest.raises(ValueError, match="like 'dev-850-1-0', got 'dev-850-1'"):
        nlvr2_group('dev-850-1')


def test_consistency():
    assert consistency(['a', 'a', 'b'], [True, False, True]) == 0.5
    assert consistency(['a', 'b', 'a'], [True, True, True]) == 1
    assert consistency(['a', 'b', 'a'], [False, False, True]) == 0
    with pytest.raises(ValueError, match='at least one item'):
        consistency([], [])


def test_the_specs_observed_value():
    """Three items in two statements, one wrong: accuracy .667, consistency .5."""
    metric = NLVR2Metric(prefix='x')
    metric.process(None, samples()[:3])
    assert metric.evaluate(3) == pytest.approx({'x/accuracy': 200 / 3, 'x/consistency': 50})


def test_metric_through_mmengines_evaluator():
    evaluator = Evaluator(METRICS.build(dict(type='NLVR2Metric')))
    evaluator.process(data_samples=samples())
    assert evaluator.evaluate(4) == pytest.approx(EXPECTED)


def test_unreadable_items_count_for_neither():
    metric = NLVR2Metric()
    metric.process(None, [dict(samples()[1], unreadable='no such file'), *samples()[:1], *samples()[2:]])
    assert metric.evaluate(4) == {'nlvr2/accuracy': 100, 'nlvr2/consistency': 100, 'nlvr2/left_out': 1}


def test_submission_has_the_servers_form(tmp_path):
    out = tmp_path / 'nlvr.csv'
    metric = METRICS.build(dict(type='NLVR2Submission', out_file=str(out)))
    rows = [
        dict(question_id='test1-1-0-0', pred_answer='false'),
        dict(question_id='test1-0-1-0', pred_answer='True'),
        dict(question_id='test1-0-0-0', pred_answer='true', unreadable='no such file'),
        dict(question_id='test1-2-0-0', pred_answer='maybe'),
    ]
    metric.process(None, rows)
    assert metric.evaluate(4) == {'nlvr2_submission/questions': 4, 'nlvr2_submission/unreadable': 1}
    assert out.read_text() == 'test1-0-0-0,False\ntest1-0-1-0,True\ntest1-1-0-0,False\ntest1-2-0-0,False\n'
    with pytest.raises(ValueError, match='must end with .csv, got x.json'):
        NLVR2Submission('x.json')
