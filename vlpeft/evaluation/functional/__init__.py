"""Metrics as plain functions on tensors and arrays: no registry, nothing else of vlpeft."""

from .retrieval import best_positive_ranks, mean_rank, median_rank, rank_statistics, recall_at_k

__all__ = ['best_positive_ranks', 'mean_rank', 'median_rank', 'rank_statistics', 'recall_at_k']
