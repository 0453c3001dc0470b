"""Metrics as plain functions on texts, tensors and arrays: no registry, nothing else of vlpeft."""

from .anls import anls, check_threshold, edit_distance
from .captions import CaptionReport, caption_intervals, caption_scores, check_caption_scorers
from .choices import named_choices
from .consistency import consistency, nlvr2_group
from .intervals import Interval, mean_intervals, percentile_intervals, replicates, unanimous_interval
from .label_score import check_normalisation, label_score
from .open_ended import exact_match
from .paired import Difference, paired_difference
from .rank_intervals import rank_intervals
from .retrieval import (
    best_positive_ranks,
    best_positive_ranks_in_folds,
    mean_rank,
    median_rank,
    rank_statistics,
    recall_at_k,
)
from .vqa import check_spelling_rule, normalise_answer, vqa_accuracy

__all__ = [
    'CaptionReport',
    'Difference',
    'Interval',
    'anls',
    'best_positive_ranks',
    'best_positive_ranks_in_folds',
    'caption_intervals',
    'caption_scores',
    'check_caption_scorers',
    'check_normalisation',
    'check_spelling_rule',
    'check_threshold',
    'consistency',
    'edit_distance',
    'exact_match',
    'label_score',
    'mean_rank',
    'mean_intervals',
    'median_rank',
    'named_choices',
    'nlvr2_group',
    'normalise_answer',
    'paired_difference',
    'percentile_intervals',
    'rank_intervals',
    'rank_statistics',
    'recall_at_k',
    'replicates',
    'unanimous_interval',
    'vqa_accuracy',
]
