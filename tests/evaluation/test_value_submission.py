"""Files for VALUE's server, and the accuracy of TVQA and How2QA before it."""

import json

import pytest

from vlpeft.evaluation.metrics import OpenEndedMetric, VALUESubmission
from vlpeft.evaluation.metrics.value import parse_choice
from vlpeft.registry import METRICS


@pytest.mark.parametrize(
    'answer, choices, expected',
    [
        ('a0', 5, 0),
        ('a4', 5, 4),
        (' a3 ', 4, 3),
        ('a4', 4, None),
        ('a10', 5, None),
        ('4', 5, None),
        ('a', 5, None),
        ('', 5, None),
        ('a1: he left', 5, None),
        ('b1', 5, None),
        ('a-1', 5, None),
    ],
)
def test_choices(answer, choices, expected):
    assert parse_choice(answer, choices) == expected


def test_questions(tmp_path):
    out = tmp_path / 'how2qa_test_public_predictions.json'
    metric = METRICS.build(dict(type='VALUESubmission', task='how2qa', out_file=str(out)))
    metric.process(
        None,
        [
            dict(question_id=9, pred_answer='a3'),
            dict(question_id=2, pred_answer='a4'),
            dict(question_id=5, pred_answer='a2', unreadable='no such file'),
            dict(question_id=1, pred_answer='what?'),
        ],
    )
    assert metric.evaluate(4) == {
        'value_submission/questions': 4,
        'value_submission/unreadable': 1,
        'value_submission/unparsed': 2,
    }
    assert json.loads(out.read_text()) == {'1': 0, '2': 0, '5': 0, '9': 3}


def test_captions(tmp_path):
    out = tmp_path / 'tvc_test_predictions.jsonl'
    metric = METRICS.build(dict(type='VALUESubmission', task='tvc', out_file=str(out)))
    metric.process(
        None,
        [
            dict(sample_id='8', vid_name='friends', clip_id=8, ts=[1.5, 3], pred_caption='They sit.', task='tvc'),
            dict(sample_id='7', vid_name='house', clip_id=7, ts=[0, 2], pred_caption='l’été', task='tvc'),
        ],
    )
    assert metric.evaluate(2) == {'value_submission/captions': 2}
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        dict(vid_name='house', clip_id=7, ts=[0, 2], descs=[dict(desc='l’été')]),
        dict(vid_name='friends', clip_id=8, ts=[1.5, 3], descs=[dict(desc='They sit.')]),
    ]


def test_captions_without_time(tmp_path):
    out = tmp_path / 'yc2c_test_predictions.jsonl'
    metric = VALUESubmission('yc2c', str(out))
    metric.process(None, [dict(sample_id='x_1', vid_name='x', clip_id='x_1', pred_caption='stir', unreadable='gone')])
    assert metric.evaluate(1) == {'value_submission/captions': 1, 'value_submission/unreadable': 1}
    assert json.loads(out.read_text()) == dict(vid_name='x', clip_id='x_1', descs=[dict(desc='')])


def test_what_is_refused():
    with pytest.raises(ValueError, match="unknown task 'tvr', valid: tvqa, how2qa, tvc, yc2c"):
        VALUESubmission('tvr', 'x.json')
    with pytest.raises(ValueError, match='must end with .jsonl, got x.json'):
        VALUESubmission('tvc', 'x.json')
    with pytest.raises(ValueError, match='must end with .json, got x.jsonl'):
        VALUESubmission('tvqa', 'x.jsonl')


def test_accuracy_is_exact_match():
    """TVQA and How2QA need no metric of their own: the generated text is the choice's name, or is wrong."""
    metric = OpenEndedMetric(prefix='tvqa')
    metric.process(
        None,
        [
            dict(question_id=i, pred_answer=answer, gold=['a1'])
            for i, answer in enumerate(['a1', 'a2', '1', 'a1 he left'])
        ],
    )
    assert metric.evaluate(4) == {'tvqa/accuracy': 25}
