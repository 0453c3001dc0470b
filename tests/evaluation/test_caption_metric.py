"""CaptionMetric in one process; test_two_processes has it in two, test_caption_scores the scores themselves."""

import pytest
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from tests.evaluation.caption_fixture import load
from vlpeft.evaluation.functional import caption_scores
from vlpeft.evaluation.metrics import CaptionMetric
from vlpeft.registry import METRICS


def samples():
    return [
        dict(sample_id=f'clip{i:02d}', pred_caption=item['prediction'], references=item['references'])
        for i, item in enumerate(load()['texts'])
    ]


def expected():
    scores = load()['scores']
    return dict(
        {f'caption/{name}': pytest.approx(scores[name]) for name in scores if name != 'METEOR'},
        **{'caption/tokenizer': 'python'},
    )


def test_all_references_together_through_mmengines_evaluator():
    evaluator = Evaluator(METRICS.build(dict(type='CaptionMetric', tokenizer='python')))
    evaluator.process(data_samples=samples()[:40])
    evaluator.process(data_samples=[BaseDataElement(**sample) for sample in samples()[40:]])
    assert evaluator.evaluate(len(samples())) == expected()


def test_each_reference_its_own_item():
    """Two references: the caption equals one and shares nothing with the other, so half of the items are right."""
    rows = [
        dict(sample_id=0, pred_caption='a red bus', references=['a red bus', 'cars drive by']),
        dict(sample_id=1, pred_caption='two dogs', references=['two dogs', 'cats']),
    ]
    scores = {}
    for references in ('joint', 'separate'):
        metric = CaptionMetric(references=references, tokenizer='python', prefix=references)
        metric.process(None, rows)
        scores.update(metric.evaluate(2))
    assert scores['joint/ROUGE-L'] == pytest.approx(100) and scores['separate/ROUGE-L'] == pytest.approx(50)
    by_hand = caption_scores(
        ['a red bus', 'a red bus', 'two dogs', 'two dogs'],
        [['a red bus'], ['cars drive by'], ['two dogs'], ['cats']],
        tokenizer='python',
    ).scores
    assert {name: scores[f'separate/{name}'] for name in by_hand} == pytest.approx(by_hand)


def test_unreadable_clips_are_left_out_and_counted():
    metric = CaptionMetric(tokenizer='python')
    broken = dict(sample_id='broken', pred_caption='guess', references=['x'], unreadable='no such file')
    metric.process(None, [broken, *samples()])
    assert metric.evaluate(len(samples()) + 1) == dict(expected(), **{'caption/left_out': 1})
    metric.process(None, [broken])
    with pytest.raises(ValueError, match='none of 1 samples has a readable clip'):
        metric.evaluate(1)


@pytest.mark.parametrize('references', [{}, dict(references=[])])
def test_a_caption_without_references_points_to_the_submission(references):
    with pytest.raises(ValueError, match="sample 'x' has no references.*VALUESubmission"):
        CaptionMetric(tokenizer='python').process(None, [dict(sample_id='x', pred_caption='a cat', **references)])


def test_options_are_checked_before_the_run():
    with pytest.raises(ValueError, match="unknown references='each', valid: joint, separate"):
        CaptionMetric(references='each')
    with pytest.raises(ValueError, match="unknown tokenizer 'ptb', valid: auto, java, python"):
        CaptionMetric(tokenizer='ptb')
    with pytest.raises(RuntimeError, match='SPICE is a Java program'):
        CaptionMetric(tokenizer='python', spice=True)
