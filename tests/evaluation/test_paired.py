"""Paired differences against closed forms, and the comparison of two results."""

import json
import math
from itertools import product

import numpy as np
import pytest

from tools.analysis_tools.compare_results import main
from vlpeft.datasets.annotations import AnnotationError
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


def test_runs_are_drawn_too():
    # All samples of a run score the same, so what is left is which of three runs are drawn: 27 by 27 ways, enumerated.
    first, second = [10.0, 20.0, 30.0], [35.0, 40.0, 60.0]
    found = paired_difference([[score] * 50 for score in first], [[score] * 50 for score in second])
    means = [[np.mean(drawn) for drawn in product(runs, repeat=3)] for runs in (first, second)]
    ways = np.subtract.outer(means[1], means[0])
    assert found.value == pytest.approx(25)
    assert found.interval == pytest.approx(np.quantile(ways, [0.025, 0.975]), abs=0.7)
    assert found.p_value == pytest.approx(2 * np.mean(ways <= 0), abs=0.004)
    one = paired_difference([20.0] * 50, [[score] * 50 for score in second])
    assert one.interval == pytest.approx(np.quantile(np.array(means[1]) - 20, [0.025, 0.975], method='inverted_cdf'))


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
    assert found['retrieval/t2v_R@10'] == (75.0, 100.0)
    assert found['retrieval/mean_R@1'] == (50.0, 50.0)
    assert found['retrieval/mean_R'] == pytest.approx(((50 + 50 + 75) / 3, (50 + 100 + 100) / 3)) and len(found) == 8


def test_no_mean_of_both_ways_where_one_has_more_queries(tmp_path):
    rows = [dict(direction='t2v', query_id=number, rank=1) for number in range(3)]
    rows.append(dict(direction='v2t', query_id=0, rank=9))
    for name in 'ab':
        lines = ''.join(json.dumps(dict(row, metric='retrieval')) + '\n' for row in rows)
        (tmp_path / f'{name}.jsonl').write_text(lines)
    assert not [one for one in compare(tmp_path / 'a.jsonl', tmp_path / 'b.jsonl') if 'mean' in one.figure]


@pytest.mark.parametrize(
    'other, message',
    [
        (lambda folder: answers(folder / 'b.json', 'abb'), 'only .*a.json has the sample'),
        (lambda folder: answers(folder / 'b.json', 'abbb', n1=dict(gold=['z'])), 'different truths'),
        (lambda folder: folder / 'none.json', 'none.json does not exist'),
    ],
)
def test_other_sets_are_refused(tmp_path, other, message):
    first = answers(tmp_path / 'a.json', 'aabb')
    with pytest.raises((PairError, AnnotationError), match=message):
        compare(first, other(tmp_path))


@pytest.mark.parametrize('text', ['{"predictions": [1]}', '[]', '{"metrics": {}}', '{"predictions": []}'])
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


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(score=float('nan')), 'entry.0.: score is nan, not a finite number'),
        (dict(score='1.0'), "score is '1.0', not a finite number"),
        (dict(scores=dict(CIDEr=None)), 'CIDEr is None, not a finite number'),
        (dict(question_id=1), r'entry.1.: the sample 1 is there twice'),
        (dict(rank=0, direction='t2v'), 'rank is 0, not a number from 1'),
        (dict(rank=1), 'direction is None, not one of t2v, v2t'),
        (dict(question_id=...), 'has no id: none of query_id, question_id, sample_id'),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(tmp_path, change, message):
    rows = [dict(question_id=0, score=1.0), dict(question_id=1, score=0.0)]
    rows[0].update(change)
    rows[0] = {name: value for name, value in rows[0].items() if value is not ...}
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(dict(predictions=dict(vqa=rows))))
    with pytest.raises(PairError, match=message):
        compare(path, path)


@pytest.mark.parametrize('data', [b'\x00\xff\xb3', b'[' * 100_000, b'{"predictions": %s}' % (b'9' * 5000)])
def test_files_that_are_no_json_are_one_line(tmp_path, capsys, data):
    path = tmp_path / 'a.json'
    path.write_bytes(data)
    assert run_main(lambda: main([str(path), str(path)])) == 1
    error = capsys.readouterr().err.strip()
    assert str(path) in error and len(error.splitlines()) == 1 and 'not expected' not in error


def test_results_without_samples_have_nothing_to_compare(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{"predictions": {"vqa": []}}')
    with pytest.raises(PairError, match='nothing to compare: .* has no predictions'):
        compare(path, path)


def test_lines_end_where_json_ends_them_and_texts_are_printed_as_they_are(tmp_path, capsys):
    """U+2028 and U+0085 end a line for Python, and not in a file of JSON lines; to rich [b] is markup."""
    files = [tmp_path / 'a.jsonl', tmp_path / 'b.jsonl']
    for file, score in zip(files, (0.0, 1.0)):
        row = dict(
            metric='vqa', question_id=0, question='[b]what\u2028is\x85it[/b] :cat:', score=score, prediction='[/x]'
        )
        file.write_text(json.dumps(row, ensure_ascii=False) + '\r\n', encoding='utf-8-sig')
    assert main([str(file) for file in files]) == 0
    assert 'better: [b]what' in (out := capsys.readouterr().out) and 'it[/b] :cat:: [/x] → [/x]' in out
