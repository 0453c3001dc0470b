"""Paired differences against closed forms, and the comparison of two results."""

import json
import math

import numpy as np
import pytest

from tools.analysis_tools.compare_results import main
from vlpeft.engine.messages import run_main
from vlpeft.evaluation.functional import paired_difference
from vlpeft.evaluation.pairs import PairError, compare


def test_interval_and_p_of_many_samples_are_those_of_the_normal():
    rng = np.random.default_rng(0)
    first = rng.normal(50, 20, 800)
    second = first + rng.normal(1, 9, 800)
    found = paired_difference(first, second)
    value, error = (second - first).mean(), (second - first).std(ddof=1) / math.sqrt(800)
    assert found.value == pytest.approx(value)
    assert found.interval == pytest.approx((value - 1.96 * error, value + 1.96 * error), abs=0.1 * error)
    assert found.p_value == pytest.approx(math.erfc(value / error / math.sqrt(2)), abs=0.003)
    spread = math.sqrt(first.var() / 800 + second.var() / 800)
    assert found.interval[1] - found.interval[0] < 0.5 * 2 * 1.96 * spread, 'pairing takes out what both find hard'


def test_without_a_difference_p_is_even():
    rng = np.random.default_rng(1)
    values = [
        paired_difference(*rng.normal(0, 1, (2, 100)), resamples=500, seed=number).p_value for number in range(300)
    ]
    assert 0.02 < np.mean(np.array(values) < 0.05) < 0.09 and 0.4 < np.mean(np.array(values) < 0.5) < 0.6


def test_samples_of_one_file_are_drawn_together():
    rng = np.random.default_rng(2)
    shift = np.repeat(rng.normal(0, 1, 40), 10)
    alone = paired_difference(np.zeros(400), shift)
    together = paired_difference(np.zeros(400), shift, clusters=np.repeat(np.arange(40), 10).tolist())
    ratio = (together.interval[1] - together.interval[0]) / (alone.interval[1] - alone.interval[0])
    assert ratio == pytest.approx(math.sqrt(10), rel=0.1) and together.units == 40


def test_equal_models_and_single_units():
    assert paired_difference([1, 0, 1], [1, 0, 1])[:3] == (0.0, (0.0, 0.0), 1.0)
    assert paired_difference([0.0], [1.0])[1:] == (None, None, 1)
    with pytest.raises(ValueError, match='samples are paired'):
        paired_difference([1, 2], [1])


def answers(path, texts, **changes):
    rows = [
        dict(question_id=number, question=f'what is {number}?', name=f'{number // 2}.jpg', gold=['a'], answer=text)
        | dict(score=float(text == 'a'))
        for number, text in enumerate(texts)
    ]
    for number, change in changes.items():
        rows[int(number[1:])].update(change)
    path.write_text(json.dumps(dict(metrics={}, predictions=dict(vqa=rows))))
    return path


def test_flips_are_named(tmp_path, capsys):
    first, second = answers(tmp_path / 'a.json', 'aabb'), answers(tmp_path / 'b.json', 'abaa')
    (found,) = compare(first, second)
    assert (found.figure, found.first, found.second, found.difference.units) == ('vqa/score', 50.0, 75.0, 2)
    assert [pair.sample['question_id'] for pair in found.better] == [2, 3]
    assert [(pair.first, pair.second) for pair in found.worse] == [('a', 'b')]
    assert main([str(first), str(second), '--json', str(tmp_path / 'd.json')]) == 0
    out = capsys.readouterr().out
    assert 'vqa/score worse: what is 1?: a → b' in out and '+25.00' in out
    assert json.loads((tmp_path / 'd.json').read_text())[0]['difference']['value'] == 25.0


def test_ranks_become_recalls(tmp_path):
    files = []
    for name, ranks in (('a', [1, 6, 11, 1]), ('b', [2, 5, 1, 1])):
        rows = [
            dict(direction=way, query_id=number, rank=rank)
            for way in ('t2v', 'v2t')
            for number, rank in enumerate(ranks)
        ]
        files.append(tmp_path / f'{name}.jsonl')
        files[-1].write_text(''.join(json.dumps(dict(row, metric='retrieval')) + '\n' for row in rows))
    found = {one.figure: (one.first, one.second) for one in compare(*files)}
    assert found['retrieval/t2v_R@1'] == (50.0, 50.0) and found['retrieval/v2t_R@5'] == (50.0, 100.0)
    assert found['retrieval/t2v_R@10'] == (75.0, 100.0) and len(found) == 6


@pytest.mark.parametrize(
    'other, message',
    [
        (lambda folder: answers(folder / 'b.json', 'abb'), 'only .*a.json has the sample'),
        (lambda folder: answers(folder / 'b.json', 'abbb', n1=dict(gold=['z'])), 'different truths'),
        (lambda folder: folder / 'none.json', 'No such file'),
    ],
)
def test_other_sets_are_refused(tmp_path, other, message):
    first = answers(tmp_path / 'a.json', 'aabb')
    with pytest.raises((PairError, FileNotFoundError), match=message):
        compare(first, other(tmp_path))


@pytest.mark.parametrize('text', ['{', '[]', '{"metrics": {}}', '{"predictions": []}'])
def test_what_is_no_result_is_told_in_one_line(tmp_path, capsys, text):
    first = answers(tmp_path / 'a.json', 'aabb')
    (tmp_path / 'b.json').write_text(text)
    assert run_main(lambda: main([str(first), str(tmp_path / 'b.json')])) == 1
    error = capsys.readouterr().err.strip()
    assert 'b.json is no result of a test' in error and len(error.splitlines()) == 1


def test_unknown_figures_are_refused(tmp_path):
    first, second = answers(tmp_path / 'a.json', 'aabb'), answers(tmp_path / 'b.json', 'abaa')
    with pytest.raises(PairError, match="no sample has 'vqa/scor'; did you mean vqa/score"):
        compare(first, second, ['vqa/scor'])
