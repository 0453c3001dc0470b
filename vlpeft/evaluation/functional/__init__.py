"""Metrics as plain functions on tensors and arrays: no registry, nothing else of vlpeft."""

from .open_ended import exact_match
from .retrieval import (best_positive_ranks, best_positive_ranks_in_folds, mean_rank, median_rank, rank_statistics,
                        recall_at_k)
from .vqa import normalise_answer, vqa_accuracy

__all__ = [
    'best_positive_ranks', 'best_positive_ranks_in_folds', 'exact_match', 'mean_rank', 'median_rank',
    'normalise_answer', 'rank_statistics', 'recall_at_k', 'vqa_accuracy'
]
