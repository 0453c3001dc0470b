"""Benchmarks of re-ranking and of the ranking of answers, on one block: figures that fit each other, equal scores."""

import json

import pytest

from tests.commands import run_script


def records(name, *options):
    result = run_script(f'tools/analysis_tools/{name}', '--depth', '1', '--rounds', '2', '--json', *options)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_reranking_equals_the_plain_loop_with_fewer_operations():
    found = records('benchmark_rerank.py', '--k', '6', '--plain-pairs', '3', '--threads', '1')
    assert [record['case'] for record in found] == ['8x197 tokens, k=6', '1x577 tokens, k=6']
    for record in found:
        assert record['largest_difference'] < 1e-5 and record['pairs'] == dict(ours=6, plain=3)
        speed = record['pairs_per_second']
        assert record['speedup']['median'] == pytest.approx(speed['ours'] / speed['plain'])
        assert record['speedup']['low'] <= record['speedup']['high']
        # Keys and values of the vision tokens are most of the plain loop, and shared by six texts.
        assert 2 < record['flop_bound'] < 16


def test_ranking_of_answers_equals_the_tiled_computation_with_fewer_operations():
    (record,) = records('benchmark_answer_ranking.py', '--k', '12', '--answers', '40', '--threads', '1')
    assert record['same'] and record['largest_difference'] < 1e-4
    assert record['gflop']['best'] <= record['gflop']['ranking'] < record['gflop']['plain'] / 2
    speed = record['questions_per_s']
    for name, gain in record['speed_up'].items():
        assert gain['median'] == pytest.approx(speed[name] / speed['plain'])
