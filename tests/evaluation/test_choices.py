"""The letter that a free text names; expectations are the stated rule applied by hand."""

import pytest

from vlpeft.evaluation.functional import named_choices
from vlpeft.evaluation.metrics import ChoiceMetric
from vlpeft.registry import METRICS

CHOICES = {'A': 'a dog', 'B': 'cat', 'C': 'red', 'D': 'dark red'}


@pytest.mark.parametrize(
    'text, named',
    [
        # 1 a letter alone
        ('B', 'B'),
        ('b', 'B'),
        (' B.\n', 'B'),
        ('(B)', 'B'),
        ('(b)', 'B'),
        ('b)', 'B'),
        ('**B**', 'B'),
        ('Option B', 'B'),
        ('a', 'A'),
        ('E', ''),
        # 2 the choice's text
        ('cat', 'B'),
        ('Cat.', 'B'),
        (' DARK  red', 'D'),
        ('red', 'C'),
        # 3 announced or marked
        ('The answer is B', 'B'),
        ('The answer is B.', 'B'),
        ('the answer is: (B) because it has fur', 'B'),
        ('Answer: B', 'B'),
        ('The correct answer is option B', 'B'),
        ('b) cat', 'B'),
        ('B. cat', 'B'),
        ('B: cat', 'B'),
        ('(B) cat', 'B'),
        ('B. dog', 'B'),
        ('B. red', 'BC'),
        ('The answer is B or C', 'BC'),
        ('The answer is A, B', 'AB'),
        ('The answer is A. No, the answer is B.', 'AB'),
        ('A. a dog B. cat C. red', 'ABC'),
        ('The answer is a cat', 'B'),
        ('It is not (B) but (C)', 'C'),
        # 4 capitals that stand alone
        ('I would say B', 'B'),
        ('B cat', 'B'),
        ('A or B', 'AB'),
        ('A cat is shown in B', 'B'),
        ('A cat', 'B'),
        ('It is not A but C', 'C'),
        ('The answer is not B', ''),
        # 5 texts of choices
        ('I see a cat here', 'B'),
        ('it looks dark red to me', 'D'),
        ('red or dark red', 'CD'),
        ('a cat and a dog', 'AB'),
        ('concatenated', ''),
        ('not a cat', ''),
        ('', ''),
        ('no idea', ''),
    ],
)
def test_letters_that_a_text_names(text, named):
    assert named_choices(text, CHOICES) == set(named)


def test_letters_as_texts_and_equal_texts():
    assert named_choices('B', {'A': 'B', 'B': 'A'}) == {'B'}
    assert named_choices('two', {'A': 'two', 'B': 'Two', 'C': 'three'}) == {'A', 'B'}
    assert named_choices('I', {letter: letter * 2 for letter in 'ABCDEFGHI'}) == {'I'}
    assert named_choices('3.5', {'A': '3', 'B': '3.5', 'C': '35'}) == {'B'}


@pytest.mark.parametrize('choices', [{}, {'A': 'yes'}, {'a': 'yes', 'b': 'no'}, {'A': 'yes', '1': 'no'}])
def test_choices_are_two_or_more_under_letters(choices):
    with pytest.raises(ValueError, match='two choices or more under the letters A to Z'):
        named_choices('A', choices)


def samples(*answers):
    return [
        dict(question_id=number, pred_answer=answer, gold=['B'], choices=CHOICES, question_type='animal')
        for number, answer in enumerate(answers)
    ]


def test_ambiguous_and_missing_answers_are_wrong_and_counted():
    metric = METRICS.build(dict(type='ChoiceMetric'))
    metric.process(
        None, [*samples('B', 'b) cat', 'A or B', 'no idea'), dict(samples('B')[0], question_id=9, gold=['C'])]
    )
    assert metric.evaluate(5) == {
        'choice/accuracy': 40.0,
        'choice/question_type/animal': 40.0,
        'choice/ambiguous': 1,
        'choice/unanswered': 1,
    }
    assert [row['named'] for row in metric.predictions] == [['B'], ['B'], ['A', 'B'], [], ['B']]


@pytest.mark.parametrize('gold', [[], ['A', 'B'], ['cat'], ['b']])
def test_the_right_answer_is_one_letter(gold):
    with pytest.raises(ValueError, match='right answer of question 0 must be one of the letters A, B, C, D'):
        ChoiceMetric().process(None, [dict(samples('B')[0], gold=gold)])


def test_choices_are_needed():
    with pytest.raises(ValueError, match="question 4 has no 'choices'"):
        ChoiceMetric().process(None, [dict(question_id=4, pred_answer='B', gold=['B'])])
