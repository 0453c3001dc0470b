"""Every metric gives intervals of its figures, or says why there is none; its figures are the same either way."""

import numpy as np
import pytest

from tests.evaluation import test_nlvr2_metric
from vlpeft.evaluation.functional import anls, mean_intervals, vqa_accuracy
from vlpeft.evaluation.metrics import (
    ANLSMetric,
    CaptionMetric,
    ChoiceMetric,
    ExactlyOnceMetric,
    LabelScoreMetric,
    NLVR2Metric,
    OpenEndedMetric,
    RetrievalMetric,
    VQAMetric,
    VQASubmission,
)
from vlpeft.evaluation.result import add_intervals, result_of

ANSWERS = ['red', 'dark red', 'blue', 'no']


def asked(count=24, **more):
    """Three questions about each picture, of two types; the last picture is unreadable."""
    rng = np.random.default_rng(4)
    for i in range(count):
        row = dict(question_id=i, question='?', name=f'{i // 3}.png', pred_answer=ANSWERS[rng.integers(4)], **more)
        yield dict(
            row, question_type=['what', 'how many'][i % 2], **(dict(unreadable='gone') if i >= count - 3 else {})
        )


def finished(metric, rows):
    rows = list(rows)
    metric.process(None, rows)
    figures = metric.evaluate(len(rows))
    result = result_of('a.py', 'none', figures, [metric, object()], {})
    add_intervals(result, [metric, object()])
    assert set(result['intervals']) | set(result['no_intervals']) == {
        name for name, value in figures.items() if not isinstance(value, str)
    }
    assert not set(result['intervals']) & set(result['no_intervals'])
    for name, (low, high) in result['intervals'].items():
        assert low <= figures[name] <= high, name
    return result


@pytest.mark.parametrize(
    'metric, more, score',
    [
        (OpenEndedMetric(), dict(gold=['red']), lambda answer: float(answer == 'red')),
        (
            LabelScoreMetric(),
            dict(label=dict(red=1.0, blue=0.3)),
            lambda answer: dict(red=1.0, blue=0.3).get(answer, 0.0),
        ),
        (ANLSMetric(), dict(gold=['dark red']), lambda answer: anls(answer, ['dark red'])),
        (VQAMetric(), dict(gold=['no'] * 2 + ['red'] * 8), lambda a: vqa_accuracy(a, ['no'] * 2 + ['red'] * 8)),
    ],
)
def test_questions_about_a_file_are_resampled_together(metric, more, score):
    result = finished(metric, asked(**more))
    rows = list(asked())[:-3]
    scores, names = [score(row['pred_answer']) for row in rows], [row['name'] for row in rows]
    kinds = {kind: [row['question_type'] == kind for row in rows] for kind in ('what', 'how many')}
    expected = mean_intervals(scores, dict(kinds, all=[True] * len(rows)), names)
    prefix = metric.prefix
    for name, kind in ((metric.figure, 'all'), ('question_type/what', 'what'), ('question_type/how_many', 'how many')):
        assert result['intervals'][f'{prefix}/{name}'] == pytest.approx([100 * end for end in expected[kind]], abs=0.5)
    assert result['resampled'] == {prefix: '7 files with 21 questions'}
    assert result['no_intervals'] == {f'{prefix}/left_out': 'a count, not an estimate'}


def test_questions_without_files_are_resampled_one_by_one():
    rows = [{key: value for key, value in row.items() if key != 'name'} for row in asked(gold=['red'])]
    together = finished(OpenEndedMetric(), asked(gold=['red']))
    alone = finished(OpenEndedMetric(), rows)
    assert alone['resampled'] == {'open_ended': '21 questions'} and alone['metrics'] == together['metrics']
    assert alone['intervals'] != together['intervals']


def test_choices_count_what_is_ambiguous():
    choices = dict(A='oak', B='fir')
    rows = [dict(question_id=i, pred_answer='AB '[i % 3], choices=choices, gold=['A'], name=str(i)) for i in range(30)]
    result = finished(ChoiceMetric(), rows)
    assert result['intervals'].keys() == {'choice/accuracy'} and result['resampled'] == {'choice': '30 questions'}
    assert result['no_intervals'].keys() == {'choice/ambiguous', 'choice/unanswered'}


def test_nlvr2_resamples_statements():
    copies = 40
    rows = [
        dict(sample, question_id=sample['question_id'].replace('-85', f'-{i}85'))
        for i in range(copies)
        for sample in test_nlvr2_metric.samples()
    ]
    result = finished(NLVR2Metric(), rows)
    assert result['resampled'] == {'nlvr2': '120 statements with 160 items'}
    half = 196 * np.sqrt(2 / 9 / 120)
    assert result['intervals']['nlvr2/consistency'] == pytest.approx((200 / 3 - half, 200 / 3 + half), abs=2)


def test_retrieval_without_names_and_with_folds():
    rng = np.random.default_rng(6)
    ranks = rng.geometric(0.3, 80)
    rows = [
        dict(
            direction='tv'[i % 2] + '2' + 'vt'[i % 2],
            query_id=i // 2,
            rank=int(rank),
            fold=i // 40,
            fold_rank=int(rank),
        )
        for i, rank in enumerate(ranks)
    ]
    result = finished(RetrievalMetric(), rows)
    assert result['resampled'] == {'retrieval': '80 queries'} and len(result['intervals']) == 24
    assert result['intervals']['retrieval/2fold_mean_R'] == pytest.approx(
        result['intervals']['retrieval/mean_R'], abs=4
    )
    for row in rows:
        row.update(
            dict(truth=[f'{row["query_id"]}.mp4']) if row['direction'] == 't2v' else dict(file=f'{row["query_id"]}.mp4')
        )
    named = finished(RetrievalMetric(), rows)
    assert named['resampled'] == {'retrieval': '40 files with 80 queries'} and named['metrics'] == result['metrics']


def test_captions_keep_their_own_scores():
    rows = [
        dict(sample_id=i, name=f'{i}.png', pred_caption=text, references=[text if i % 3 else 'two dogs run', 'a man'])
        for i, text in enumerate(
            f'a {word} bus stands in a street' for word in 'red blue green pink black white'.split() * 9
        )
    ]
    results = {kind: finished(CaptionMetric(kind, tokenizer='python'), rows) for kind in ('joint', 'separate')}
    for result in results.values():
        scores = [row['scores'] for row in result['predictions']['caption']]
        for name in ('CIDEr', 'ROUGE-L'):
            mean = np.mean([own[name] for own in scores])
            assert mean == pytest.approx(result['metrics'][f'caption/{name}'], abs=0.01)
        assert result['resampled'] == {'caption': '54 captions'} and set(scores[0]) == {'CIDEr', 'ROUGE-L'}
    widths = [result['intervals']['caption/ROUGE-L'] for result in results.values()]
    # Both items of a caption are drawn together: the interval is that of their mean.
    assert widths[1][1] - widths[1][0] < widths[0][1] - widths[0][0]


def test_metrics_that_have_none_say_so(tmp_path):
    class Mine(ExactlyOnceMetric):
        default_prefix = 'mine'

        def process(self, data_batch, data_samples):
            self.results.extend(data_samples)

        def compute_metrics(self, results):
            return dict(mean=0.5, count=3, kind='text')

    result = finished(Mine(), [dict(id=1)])
    assert result['no_intervals'] == {'mine/mean': 'this metric has none', 'mine/count': 'a count, not an estimate'}
    result = finished(VQASubmission(str(tmp_path / 'a.json')), [dict(question_id=1, pred_answer='x')])
    assert list(result['no_intervals']) == ['vqa_submission/questions'] and not result['intervals']
