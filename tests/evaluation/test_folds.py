"""Ranks within folds of a gallery (COCO's 1k figures) against evaluating each fold as a set of its own."""

import numpy as np
import pytest
import torch

from vlpeft.evaluation.functional import best_positive_ranks, best_positive_ranks_in_folds, rank_statistics
from vlpeft.evaluation.metrics import RetrievalMetric

CLIPS, TEXTS_PER_CLIP, FOLDS = 23, 3, 5


def captioned_set(seed=0):
    """Scores with ties (texts, clips), owners of the texts, folds of the clips."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(-3, 4, size=(CLIPS * TEXTS_PER_CLIP, CLIPS)).astype(np.float32)
    scores[generator.random(scores.shape) < 0.3] = -100
    owners = np.repeat(np.arange(CLIPS), TEXTS_PER_CLIP)
    return scores, owners, np.arange(CLIPS) * FOLDS // CLIPS


def each_fold_alone(scores, owners, folds):
    """Ranks (text to clip, clip to text) of the sub-matrices, fold by fold."""
    for fold in range(FOLDS):
        clips = np.flatnonzero(folds == fold)
        texts = np.flatnonzero(np.isin(owners, clips))
        part = scores[np.ix_(texts, clips)]
        t2v = best_positive_ranks(part, [[list(clips).index(owners[text])] for text in texts])
        v2t = best_positive_ranks(
            np.ascontiguousarray(part.T), [np.flatnonzero(owners[texts] == clip).tolist() for clip in clips]
        )
        yield t2v.tolist(), v2t.tolist()


@pytest.mark.parametrize('kind', [torch.from_numpy, np.asarray])
def test_ranks_in_folds_are_those_of_each_fold_alone(kind):
    scores, owners, folds = captioned_set()
    t2v = best_positive_ranks_in_folds(kind(scores), [[owner] for owner in owners], folds[owners], folds)
    v2t = best_positive_ranks_in_folds(
        kind(np.ascontiguousarray(scores.T)),
        [np.flatnonzero(owners == clip).tolist() for clip in range(CLIPS)],
        folds.tolist(),
        folds[owners].tolist(),
    )
    expected = list(each_fold_alone(scores, owners, folds))
    assert t2v.tolist() == sum((ranks for ranks, _ in expected), [])
    assert v2t.tolist() == sum((ranks for _, ranks in expected), [])
    whole = best_positive_ranks(kind(scores), [[owner] for owner in owners])
    assert (t2v <= whole).all() and (t2v < whole).any()


def test_folds_need_not_be_contiguous():
    scores = torch.tensor([[3.0, 9.0, 5.0, 1.0], [9.0, 2.0, 0.0, 1.0], [9.0, 9.0, 4.0, 9.0], [1.0, 2.0, 3.0, 0.0]])
    ranks = best_positive_ranks_in_folds(scores, [[0], [1], [2], [3]], [0, 1, 0, 1], [0, 1, 0, 1])
    assert ranks.tolist() == [2, 1, 2, 2]


def test_a_positive_of_another_fold_is_an_error():
    with pytest.raises(ValueError, match='query 0 has positive -1, outside of the gallery of 1'):
        best_positive_ranks_in_folds(torch.zeros(2, 2), [[1], [0]], [0, 1], [0, 1])


def test_the_metric_averages_the_figures_of_the_folds():
    scores, owners, folds = captioned_set(1)
    metric, t2v_figures, v2t_figures, query = RetrievalMetric(), [], [], dict(t2v=0, v2t=0)
    for fold, (t2v, v2t) in enumerate(each_fold_alone(scores, owners, folds)):
        t2v_figures.append(rank_statistics(t2v))
        v2t_figures.append(rank_statistics(v2t))
        for direction, ranks in (('t2v', t2v), ('v2t', v2t)):
            for rank in ranks:
                metric.process(
                    None,
                    [dict(direction=direction, query_id=query[direction], rank=rank + 1, fold=fold, fold_rank=rank)],
                )
                query[direction] += 1
    metrics = metric.evaluate(CLIPS * (TEXTS_PER_CLIP + 1))
    for direction, figures in (('t2v', t2v_figures), ('v2t', v2t_figures)):
        for name in ('R@1', 'R@5', 'R@10', 'MdR', 'MnR'):
            mean = sum(figure[name] for figure in figures) / FOLDS
            assert metrics[f'retrieval/5fold_{direction}_{name}'] == pytest.approx(mean)
        assert metrics[f'retrieval/5fold_{direction}_MnR'] < metrics[f'retrieval/{direction}_MnR']
    recalls = [figure[f'R@{k}'] for k in (1, 5, 10) for figure in (*t2v_figures, *v2t_figures)]
    assert metrics['retrieval/5fold_mean_R'] == pytest.approx(np.mean(recalls))
