"""VQA accuracy against values worked out by hand from the published rules, and the metric and submission around it."""

import ast
import inspect
import itertools
import json
import os
import textwrap
from fractions import Fraction

import numpy as np
import pytest
import torch.distributed
from mmengine.evaluator import Evaluator

from tests.processes import run_on_ranks
from vlpeft.engine.launch import end_process_group
from vlpeft.evaluation.functional import normalise_answer, vqa_accuracy
from vlpeft.evaluation.functional.vqa import CONTRACTIONS
from vlpeft.evaluation.metrics import VQAMetric, VQASubmission
from vlpeft.registry import METRICS


@pytest.mark.parametrize(
    'answer, expected',
    [
        # case, articles, white space
        ('The Two Dogs!', '2 dogs'),
        ('a man and an apple', 'man and apple'),
        ('the', ''),
        ('  on \n the\ttable ', 'on table'),
        ('athens', 'athens'),
        # number words, whole words only
        ('none', '0'),
        ('Zero', '0'),
        ('ten', '10'),
        ('eleven', 'eleven'),
        ('left one', 'left 1'),
        ('twenty two', 'twenty 2'),
        ('someone', 'someone'),
        # contractions
        ('dont know', "don't know"),
        ("don't know", "don't know"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ('couldntve', 'couldntve'),
        ('yall', "y'all"),
        ("ow's'at", "'ow's'at"),
        ("somebody'd", 'somebodyd'),
        ('its', 'its'),
        ('lets', 'lets'),
        ('Im here', 'im here'),
        ('DONT', "don't"),
        # periods: only before a digit they stay
        ('3.5', '3.5'),
        ('.5', '.5'),
        ('5.', '5'),
        ('p.m.', 'pm'),
        ('st. louis', 'st louis'),
        ('v.2', 'v.2'),
        # commas and other marks
        ('1,000', '1000'),
        ('100,978 people', '100978 people'),
        ('red,blue', 'red blue'),
        ('red, blue', 'red blue'),
        ('red ,blue,green', 'red bluegreen'),
        ('black/white, 1,000', 'blackwhite 1000'),
        ('a/b', 'b'),
        ('black/white', 'black white'),
        ('black / white', 'black white'),
        ('t-shirt', 't shirt'),
        ('t-shirt - red', 'tshirt red'),
        ('yes!', 'yes'),
        ('(yes)', 'yes'),
        ('what?why', 'what why'),
        ('back\\slash', 'back slash'),
        ('a@b.com', 'bcom'),
        # kept: apostrophe, colon and all that is not in the list
        ("girl's", "girl's"),
        ('2:50 pm', '2:50 pm'),
        ('50% & $5', '50% & $5'),
        ('#1*', '#1*'),
    ],
)
def test_one_spelling(answer, expected):
    assert normalise_answer(answer) == expected


def gold(**counts):
    """Ten answers; keys with underscores stand for blanks."""
    answers = [key.replace('_', ' ') for key, count in counts.items() for _ in range(count)]
    assert len(answers) == 10
    return answers


@pytest.mark.parametrize(
    'prediction, answers, expected',
    [
        # k of ten agree: (k * min(1, (k-1)/3) + (10-k) * min(1, k/3)) / 10
        ('no', gold(yes=9, maybe=1), 0),
        ('maybe', gold(yes=9, maybe=1), 0.3),
        ('maybe', gold(yes=8, maybe=2), 0.6),
        ('maybe', gold(yes=7, maybe=3), 0.9),
        ('maybe', gold(yes=6, maybe=4), 1),
        ('yes', gold(yes=8, no=2), 1),
        ('no', gold(yes=8, no=2), 0.6),
        ('Yes.', gold(yes=3, no=7), 0.9),
        # both sides are brought to one spelling
        ('two', ['2'] * 2 + ['3'] * 8, 0.6),
        ('2', ['two'] * 2 + ['3'] * 8, 0.6),
        ('none', ['none'] + ['1'] * 9, 0.3),
        ('0', ['none'] + ['zero'] + ['0'] + ['1'] * 7, 0.9),
        ('dont know', ["don't know"] * 2 + ['yes'] * 8, 0.6),
        ("don't know", ['dont know'] * 2 + ['yes'] * 8, 0.6),
        ('the cat', ['cat'] * 1 + ['dog'] * 9, 0.3),
        ('cat', ['the cat', 'a cat', 'Cat!'] + ['dog'] * 7, 0.9),
        ('1,000', ['1000'] * 3 + ['900'] * 7, 0.9),
        ('1000', ['1,000'] * 3 + ['900'] * 7, 0.9),
        ('3.5', ['3.5'] * 4 + ['35'] * 6, 1),
        ('t shirt', ['t-shirt'] * 2 + ['shirt'] * 8, 0.6),
        ('tshirt', ['t-shirt'] * 2 + ['shirt'] * 8, 0),
        ('\nyes\t', gold(yes=4, no=6), 1),
        ('yes', ['yes\n'] * 4 + ['no'] * 6, 1),
        # unanimous: nothing but line breaks, tabs and outer blanks is touched, on either side
        ('yes', ['yes'] * 10, 1),
        ('Yes', ['yes'] * 10, 0),
        ('yes!', ['yes'] * 10, 0),
        ('yes ', ['yes\n'] * 10, 1),
        ('two', ['2'] * 10, 0),
        ('the cat', ['the cat'] * 10, 1),
        ('a', ['a'] * 10, 1),
        ('STOP!', ['STOP!'] * 10, 1),
        # the spellings differ, so this is not unanimous: "Yes" and "yes" both become "yes"
        ('YES.', ['yes'] * 9 + ['Yes'], 1),
        # only an article is left: the empty answer agrees with the empty answer
        ('the', ['a'] * 2 + ['b'] * 8, 0.6),
    ],
)
def test_accuracy_by_hand(prediction, answers, expected):
    assert vqa_accuracy(prediction, answers) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    'prediction, answers, official, vlt5',
    [
        # values observed on the released evaluator
        ('Yes.', gold(yes=3, no=7), 0.9, 0.9),
        ('The two dogs!', ['2 dogs'] * 4 + ['dogs'] * 6, 1, 1),
        ('dont know', ["don't know"] * 4 + ['no'] * 6, 1, 1),
        # unanimous: the prediction is normalised nevertheless
        ('Yes!', ['yes'] * 10, 0, 1),
        ('two', ['2'] * 10, 0, 1),
        ('the cat', ['the cat'] * 10, 1, 0),
        ('a/b', ['a/b'] * 10, 1, 0),
        # not unanimous: of the annotators' answers only the punctuation is changed
        ('2', ['two'] * 4 + ['3'] * 6, 1, 0),
        ('cat', ['the cat'] * 4 + ['dog'] * 6, 1, 0),
        ('yes', ['Yes'] * 4 + ['no'] * 6, 1, 0),
        ('1,000', ['1,000'] * 4 + ['900'] * 6, 1, 1),
        ('t-shirt', ['t-shirt'] * 4 + ['shirt'] * 6, 1, 1),
        ('yes', ['yes.'] * 2 + ['no'] * 8, 0.6, 0.6),
        # line breaks of annotators' answers stay
        ('yes', ['yes\n'] * 4 + ['no'] * 6, 1, 0),
    ],
)
def test_older_rule(prediction, answers, official, vlt5):
    assert vqa_accuracy(prediction, answers) == pytest.approx(official, abs=1e-12)
    assert vqa_accuracy(prediction, answers, rule='vlt5') == pytest.approx(vlt5, abs=1e-12)
    metric = VQAMetric(rule='vlt5')
    metric.process(None, [dict(question_id=1, pred_answer=prediction, gold=answers)])
    assert metric.evaluate(1)['vqa/accuracy'] == pytest.approx(100 * vlt5)


def test_unknown_rules_are_refused():
    for refuse in (lambda: vqa_accuracy('a', ['a'] * 10, rule='old'), lambda: VQAMetric(rule='old')):
        with pytest.raises(ValueError, match="unknown spelling rule 'old', valid: official, vlt5"):
            refuse()


@pytest.mark.parametrize('annotators', [4, 5, 10])
def test_leaving_one_out_equals_the_slow_loop(annotators):
    for agreeing in range(annotators):
        answers = ['x'] * agreeing + ['y'] * (annotators - agreeing)
        slow = Fraction(0)
        for left_out in range(annotators):
            others = [answer for i, answer in enumerate(answers) if i != left_out]
            slow += min(Fraction(1), Fraction(others.count('x'), 3)) / annotators
        assert vqa_accuracy('x', answers) == pytest.approx(float(slow), abs=1e-12)


@pytest.mark.parametrize('answers', [['cat'], ['cat'] * 3, []])
def test_too_few_annotators_are_an_error(answers):
    with pytest.raises(ValueError, match=f'needs 4 annotators or more, got {len(answers)}'):
        vqa_accuracy('cat', answers)


def test_spelling_equals_mmpretrains_rules_on_random_answers():
    from mmpretrain.evaluation.metrics import vqa as mmpretrain_vqa  # slow to import, and not needed by the processes

    tree = ast.parse(textwrap.dedent(inspect.getsource(mmpretrain_vqa._process_digit_article)))
    table = next(
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == 'contractions'
    )
    words = [*itertools.chain(*table.items()), *CONTRACTIONS, 'a', 'The', 'one', 'None', 'dog', '12', '3.5', '1,000']
    draw, reference = np.random.default_rng(0), mmpretrain_vqa.VQAAcc()._process_answer
    marks = [' ', ' ', '  ', ', ', '. ', '.', ',', '-', '/', "'", ':', '! ', ' (', '\t', '\n', '&']
    for _ in range(5000):
        parts = [draw.choice(pool) for _ in range(draw.integers(1, 5)) for pool in (words, marks)]
        answer = ''.join(parts)
        assert normalise_answer(answer) == reference(answer), repr(answer)
    assert all(normalise_answer(word) == reference(word) for word in words)


def samples():
    """Six questions; scores 1, 0.9, 0.3, 0, 0.6, and one without types that scores 1."""
    rows = [
        (11, 'yes', gold(yes=10), 'is the', 'yes/no'),
        (12, 'two', ['2'] * 3 + ['4'] * 7, 'how many', 'number'),
        (13, 'red', gold(red=1, blue=9), 'what color', 'other'),
        (14, 'no', gold(yes=10), 'is the', 'yes/no'),
        (15, 'cat', gold(cat=2, dog=8), 'what is', 'other'),
    ]
    typed = [
        dict(question_id=number, pred_answer=answer, gold=answers, question_type=question, answer_type=kind)
        for number, answer, answers, question, kind in rows
    ]
    return typed + [dict(question_id=16, pred_answer='yes', gold=gold(yes=10))]


EXPECTED = {
    'vqa/accuracy': 100 * 3.8 / 6,
    'vqa/answer_type/yes_no': 50.0,
    'vqa/answer_type/number': 90.0,
    'vqa/answer_type/other': 45.0,
    'vqa/question_type/is_the': 50.0,
    'vqa/question_type/how_many': 90.0,
    'vqa/question_type/what_color': 30.0,
    'vqa/question_type/what_is': 60.0,
}


def test_overall_and_per_type_through_mmengines_evaluator():
    evaluator = Evaluator(METRICS.build(dict(type='VQAMetric')))
    evaluator.process(data_samples=samples()[:4])
    evaluator.process(data_samples=samples()[4:])
    assert evaluator.evaluate(6) == pytest.approx(EXPECTED)


def test_predictions_are_kept_by_question():
    metric = VQAMetric(prefix='mine')
    metric.process(None, samples()[::-1])
    assert metric.evaluate(6)['mine/accuracy'] == pytest.approx(100 * 3.8 / 6)
    assert [(entry['question_id'], entry['answer'], entry['score']) for entry in metric.predictions] == [
        (11, 'yes', 1),
        (12, 'two', pytest.approx(0.9)),
        (13, 'red', pytest.approx(0.3)),
        (14, 'no', 0),
        (15, 'cat', pytest.approx(0.6)),
        (16, 'yes', 1),
    ]


def test_unreadable_questions_are_left_out_and_counted():
    metric = VQAMetric()
    first = dict(samples()[0], unreadable='no such file')
    metric.process(None, [first, *samples()[1:]])
    metrics = metric.evaluate(6)
    assert metrics['vqa/left_out'] == 1 and metrics['vqa/accuracy'] == pytest.approx(100 * 2.8 / 5)
    assert metrics['vqa/answer_type/yes_no'] == 0
    metric.process(None, [first])
    with pytest.raises(ValueError, match='none of 1 questions has a readable clip'):
        metric.evaluate(1)


def test_a_question_without_gold_answers_points_to_the_submission():
    with pytest.raises(ValueError, match="question 7 has no 'gold'.*VQASubmission"):
        VQAMetric().process(None, [dict(question_id=7, pred_answer='x')])


def test_submission_has_the_servers_form(tmp_path):
    out = tmp_path / 'new' / 'submission.json'
    metric = METRICS.build(dict(type='VQASubmission', out_file=str(out)))
    metric.process(
        None,
        [
            dict(question_id=9, pred_answer="l'été"),
            dict(question_id=2, pred_answer='2'),
            dict(question_id=5, pred_answer='guess', unreadable='no such file'),
        ],
    )
    assert metric.evaluate(3) == {'vqa_submission/questions': 3, 'vqa_submission/unreadable': 1}
    assert json.loads(out.read_text()) == [
        dict(question_id=2, answer='2'),
        dict(question_id=5, answer=''),
        dict(question_id=9, answer="l'été"),
    ]
    assert [path.name for path in out.parent.iterdir()] == ['submission.json']


def test_a_failed_submission_leaves_the_old_file(tmp_path):
    out = tmp_path / 'submission.json'
    out.write_text('old')
    metric = VQASubmission(str(out))
    metric.process(None, [dict(question_id=1, pred_answer='x')])
    with pytest.raises(ValueError, match='1 of 2 samples have no result'):
        metric.evaluate(2)
    assert out.read_text() == 'old'


def test_submission_refuses_other_ids_and_endings():
    with pytest.raises(ValueError, match='must end with .json, got answers.csv'):
        VQASubmission('answers.csv')
    with pytest.raises(ValueError, match="identifies questions by integers, got question_id='q1'"):
        VQASubmission('x.json').process(None, [dict(question_id='q1', pred_answer='x')])


def evaluate_in_process(rank, folder):
    """Rank 0 holds five questions, rank 1 the last and one of rank 0's as padding."""
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    part = [samples()[:5], [samples()[5], samples()[0]]][rank]
    metric, submission = VQAMetric(), VQASubmission(os.path.join(folder, 'submission.json'))
    metric.process(None, part)
    submission.process(None, part)
    report = dict(metrics=metric.evaluate(6), submitted=submission.evaluate(6))
    metric.process(None, part)
    try:
        metric.evaluate(7)
    except ValueError as error:
        report['missing'] = str(error)
    with open(os.path.join(folder, f'{rank}.json'), 'w') as file:
        json.dump(report, file)
    end_process_group()


def test_two_processes_with_uneven_counts(tmp_path):
    run_on_ranks(evaluate_in_process, str(tmp_path))
    for rank in range(2):
        report = json.loads((tmp_path / f'{rank}.json').read_text())
        assert report['metrics'] == pytest.approx(EXPECTED)
        assert report['submitted'] == {'vqa_submission/questions': 6}
        assert '1 of 7 samples have no result' in report['missing']
    assert [entry['question_id'] for entry in json.loads((tmp_path / 'submission.json').read_text())] == list(
        range(11, 17)
    )
