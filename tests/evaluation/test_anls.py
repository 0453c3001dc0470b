"""ANLS against the paper's formula, restated with exact fractions and a recursive edit distance."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from vlpeft.evaluation.functional import anls, edit_distance
from vlpeft.evaluation.metrics import ANLSMetric
from vlpeft.registry import METRICS


def slow_distance(first, second):
    @cache
    def rest(i, j):
        if i == len(first) or j == len(second):
            return len(first) - i + len(second) - j
        if first[i] == second[j]:
            return rest(i + 1, j + 1)
        return 1 + min(rest(i + 1, j), rest(i, j + 1), rest(i + 1, j + 1))

    return rest(0, 0)


@pytest.mark.parametrize(
    'first, second, expected',
    [('kitten', 'sitting', 3), ('saturday', 'sunday', 3), ('', 'abc', 3), ('abc', '', 3), ('', '', 0), ('ab', 'ba', 2)],
)
def test_published_distances(first, second, expected):
    assert edit_distance(first, second) == expected == slow_distance(first, second)


def test_distances_and_similarities_equal_the_slow_restatement_on_random_texts():
    draw = np.random.default_rng(0)
    for _ in range(300):
        answer, *gold = (''.join(draw.choice(list('abc '), draw.integers(0, 9))).strip() for _ in range(4))
        squeezed = [' '.join(text.split()) for text in (answer, *gold)]
        similarities = []
        for right in squeezed[1:]:
            assert edit_distance(squeezed[0], right) == slow_distance(squeezed[0], right)
            longest = max(len(squeezed[0]), len(right))
            distance = Fraction(slow_distance(squeezed[0], right), longest) if longest else Fraction(0)
            similarities.append(1 - distance if distance < Fraction(1, 2) else 0)
        assert anls(answer, gold) == pytest.approx(float(max(similarities)), abs=1e-12)


@pytest.mark.parametrize(
    'prediction, gold, expected',
    [
        ('ITC Limited', ['itc limited'], 1),
        (' itc   limited\n', ['ITC Limited'], 1),
        ('itclimited', ['itc limited'], 1 - 1 / 11),
        ('1981', ['1982', '1881'], 3 / 4),
        ('1981', ['1982', '1981'], 1),
        # a distance of exactly the threshold is another answer; below it counts
        ('ab', ['ac'], 0),
        ('abc', ['abd'], 2 / 3),
        ('', ['dog'], 0),
        ('', [''], 1),
    ],
)
def test_values_by_hand(prediction, gold, expected):
    assert anls(prediction, gold) == pytest.approx(expected, abs=1e-12)


def test_other_thresholds():
    assert anls('ab', ['ac'], threshold=0.51) == 0.5
    assert anls('abc', ['abd'], threshold=0.3) == 0
    assert ANLSMetric(threshold=1.0).score('abcd', ['axyz']) == 0.25
    assert ANLSMetric(threshold=1.0).score('abcd', ['wxyz']) == 0


def test_mean_over_questions_and_types():
    metric = METRICS.build(dict(type='ANLSMetric'))
    rows = [('1981', ['1982'], 'year'), ('dog', ['dog', 'hound'], 'word'), ('cat', ['elephant'], 'word')]
    metric.process(
        None,
        [
            dict(question_id=number, pred_answer=answer, gold=gold, question_type=kind)
            for number, (answer, gold, kind) in enumerate(rows)
        ],
    )
    assert metric.evaluate(3) == pytest.approx(
        {'anls/ANLS': 100 * 1.75 / 3, 'anls/question_type/year': 75, 'anls/question_type/word': 50}
    )


@pytest.mark.parametrize('threshold', [0, -0.5, 1.5, float('nan')])
def test_thresholds_out_of_range_are_refused(threshold):
    for refuse in (lambda: ANLSMetric(threshold=threshold), lambda: anls('a', ['a'], threshold)):
        with pytest.raises(ValueError, match='threshold must be above 0 and at most 1'):
            refuse()


def test_a_question_without_right_answers_is_refused():
    with pytest.raises(ValueError, match='needs a right answer or more'):
        anls('a', [])
