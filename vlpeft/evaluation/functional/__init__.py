"""Metrics as plain functions on texts, tensors and arrays: no registry, nothing else of vlpeft."""

from .anls import anls, check_threshold, edit_distance
from .captions import CaptionReport, caption_scores, check_caption_scorers
from .choices import named_choices
from .consistency import consistency, nlvr2_group
from .label_score import check_normalisation, label_score
from .open_ended import exact_match
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
    'anls',
    'best_positive_ranks',
    'best_positive_ranks_in_folds',
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
    'median_rank',
    'named_choices',
    'nlvr2_group',
    'normalise_answer',
    'rank_statistics',
    'recall_at_k',
    'vqa_accuracy',
]
