"""Scores of captions as plain functions on texts."""

from .intervals import caption_intervals
from .ptb import ptb_tokens
from .scores import CaptionReport, caption_scores, check_caption_scorers
from .tokenizer import choose_tokenizer, tokenize

__all__ = [
    'CaptionReport',
    'caption_intervals',
    'caption_scores',
    'check_caption_scorers',
    'choose_tokenizer',
    'ptb_tokens',
    'tokenize',
]
