"""Scores of normalised answers (GQA, MSRVTT-QA, MSVD-QA as eP-ALM reports them), and the files of two servers."""

import json

import pytest

from vlpeft.evaluation.functional import label_score
from vlpeft.registry import METRICS


@pytest.mark.parametrize(
    'prediction, label, expected',
    [
        (' Dog', dict(dog=1.0), 1),
        ('the dog.', {'Dog': 0.6}, 0.6),
        ('two', {'2': 1.0}, 1),
        ('2', dict(two=0.3), 0.3),
        ('1,000', {'1000': 1.0}, 1),
        ('dont know', {"don't know": 1.0}, 1),
        ('red, blue', {'red blue': 1.0}, 1),
        ('red,blue', {'red blue': 1.0}, 1),
        ('t-shirt', {'t shirt': 0.9}, 0.9),
        ('dogs', dict(dog=1.0), 0),
        ('', dict(dog=1.0), 0),
        ('', {}, 0),
        ('two', {'2': 0.3, 'two': 0.9}, 0.9),
        ('2', {'two': 0.9, '2': 0.3}, 0.9),
    ],
)
def test_answers_in_one_spelling_get_the_labels_score(prediction, label, expected):
    assert label_score(prediction, label, 'vqa') == expected


def test_the_metric_normalises_only_when_asked():
    rows = [(' Dog', dict(dog=1.0)), ('two', {'2': 0.6}), ('cat', dict(dog=1.0)), ('dog', dict(dog=1.0))]
    samples = [dict(question_id=i, pred_answer=answer, label=label) for i, (answer, label) in enumerate(rows)]
    for option, expected in ((dict(normalise='vqa'), 100 * 2.6 / 4), ({}, 25), (dict(normalise='none'), 25)):
        metric = METRICS.build(dict(type='LabelScoreMetric', **option))
        metric.process(None, samples)
        assert metric.evaluate(4) == pytest.approx({'label_score/accuracy': expected})


def test_an_unknown_normalisation_lists_the_valid_ones():
    with pytest.raises(ValueError, match="unknown normalise='gqa', valid: none, vqa"):
        METRICS.build(dict(type='LabelScoreMetric', normalise='gqa'))


def test_gqas_file(tmp_path):
    metric = METRICS.build(dict(type='GQASubmission', out_file=str(tmp_path / 'gqa.json')))
    metric.process(
        None,
        [
            dict(question_id='201307252', pred_answer='no'),
            dict(question_id='2', pred_answer='pipe'),
            dict(question_id='07', unreadable='no such file'),
        ],
    )
    assert metric.evaluate(3) == {'gqa_submission/questions': 3, 'gqa_submission/unreadable': 1}
    assert json.loads((tmp_path / 'gqa.json').read_text()) == [
        dict(questionId='07', prediction=''),
        dict(questionId='2', prediction='pipe'),
        dict(questionId='201307252', prediction='no'),
    ]


def test_a_caption_file(tmp_path):
    metric = METRICS.build(dict(type='CaptionSubmission', out_file=str(tmp_path / 'captions.json')))
    metric.process(None, [dict(sample_id=9, pred_caption='a "cat"'), dict(sample_id=0, unreadable='gone')])
    assert metric.evaluate(2) == {'caption_submission/captions': 2, 'caption_submission/unreadable': 1}
    assert json.loads((tmp_path / 'captions.json').read_text()) == [
        dict(image_id=0, caption=''),
        dict(image_id=9, caption='a "cat"'),
    ]
    with pytest.raises(ValueError, match="identifies images by integers, got sample_id='x'"):
        metric.process(None, [dict(sample_id='x', pred_caption='a cat')])
