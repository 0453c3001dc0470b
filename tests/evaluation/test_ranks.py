"""Ranks and recall against a slow loop that can be read off the definition."""

import numpy as np
import pytest
import torch

from vlpeft.evaluation.functional import best_positive_ranks, mean_rank, median_rank, rank_statistics, recall_at_k


def slow_rank(row, positives):
    """Best place of a positive when every tie with a negative is lost."""
    best = max(row[p] for p in positives)
    ahead = 0
    for item, score in enumerate(row):
        if item not in positives and score >= best:
            ahead += 1
    return ahead + 1


@pytest.mark.parametrize('chunk_elements', [1, 41 * 3, 2**24])
def test_ranks_equal_the_slow_loop_with_many_ties_and_several_positives(chunk_elements):
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 6, size=(57, 41)).astype(np.float32)
    positives = [generator.choice(41, size=generator.integers(1, 6), replace=False).tolist() for _ in range(57)]
    expected = [slow_rank(row.tolist(), p) for row, p in zip(scores, positives)]
    assert len(set(expected)) > 10
    ranks = best_positive_ranks(torch.from_numpy(scores), positives, chunk_elements)
    assert ranks.dtype == torch.long and ranks.tolist() == expected
    assert best_positive_ranks(scores, positives, chunk_elements).tolist() == expected


def test_memory_mapped_scores_of_any_dtype(tmp_path):
    scores = np.random.default_rng(1).normal(size=(20, 9)).astype(np.float64)
    np.save(tmp_path / 'scores.npy', scores)
    mapped = np.load(tmp_path / 'scores.npy', mmap_mode='r+')
    positives = [[q % 9] for q in range(20)]
    expected = [slow_rank(row.tolist(), p) for row, p in zip(scores, positives)]
    assert best_positive_ranks(mapped, positives, chunk_elements=20).tolist() == expected
    half = torch.from_numpy(scores).bfloat16()
    expected_half = [slow_rank(row.tolist(), p) for row, p in zip(half, positives)]
    assert best_positive_ranks(half, positives).tolist() == expected_half


@pytest.mark.parametrize('constant', [0.0, -100.0])
def test_constant_scores_get_the_worst_rank(constant):
    scores = torch.full((3, 10), constant)
    assert best_positive_ranks(scores, [[0], [4], [9]]).tolist() == [10, 10, 10]
    # With three positives the best of them can at worst be behind the seven others.
    assert best_positive_ranks(scores, [[0, 1, 2]] * 3).tolist() == [8, 8, 8]


@pytest.mark.parametrize('wrong', ['nan', 'inf', '-inf'])
@pytest.mark.parametrize('chunk_elements', [3, 100])
def test_a_score_that_is_not_finite_is_an_error_that_names_the_query(wrong, chunk_elements):
    scores = torch.tensor([[1.0, 0.5, 0.0]] * 4)
    scores[2, 1] = scores[3, 0] = float(wrong)
    with pytest.raises(ValueError, match=f'query 2 has the score {wrong} for item 1'):
        best_positive_ranks(scores, [[0]] * 4, chunk_elements)


def test_ties_among_positives_cost_nothing():
    assert best_positive_ranks(torch.tensor([[5.0, 5.0, 1.0]]), [[0, 1]]).tolist() == [1]


@pytest.mark.parametrize(
    'scores, positives, message',
    [
        (torch.zeros(2, 3), [[0], []], 'query 1 has no positive'),
        (torch.zeros(2, 3), [[0], [3]], r'query 1 has positive 3, outside of the gallery of 3'),
        (torch.zeros(2, 3), [[-1], [0]], 'query 0 has positive -1'),
        (torch.zeros(2, 3), [[0]], 'scores hold 2 queries but positives are given for 1'),
        (torch.zeros(6), [[0]], r'scores must be \(queries, gallery\)'),
    ],
)
def test_errors_name_the_query(scores, positives, message):
    with pytest.raises(ValueError, match=message):
        best_positive_ranks(scores, positives, chunk_elements=3)


def test_statistics_of_known_ranks():
    ranks = [1, 1, 3, 5, 6, 10, 11, 40]
    assert recall_at_k(ranks, 1) == 25.0
    assert recall_at_k(torch.tensor(ranks), 5) == 50.0
    assert median_rank(ranks) == 5.5
    assert mean_rank(np.array(ranks)) == 9.625
    assert rank_statistics(ranks) == {'R@1': 25.0, 'R@5': 50.0, 'R@10': 75.0, 'MdR': 5.5, 'MnR': 9.625}


def test_no_ranks_is_an_error():
    with pytest.raises(ValueError, match='no query'):
        rank_statistics([])
