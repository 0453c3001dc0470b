"""Registered metrics."""

from .anls import ANLSMetric
from .base import ExactlyOnceMetric
from .caption_submission import CaptionSubmission
from .captions import CaptionMetric
from .choices import ChoiceMetric
from .gqa import GQASubmission
from .label_score import LabelScoreMetric
from .nlvr2 import NLVR2Metric, NLVR2Submission
from .open_ended import OpenEndedMetric
from .questions import QuestionMetric
from .retrieval import RetrievalMetric
from .submissions import Submission
from .value import VALUESubmission
from .vqa import VQAMetric, VQASubmission

__all__ = [
    'ANLSMetric',
    'CaptionMetric',
    'CaptionSubmission',
    'ChoiceMetric',
    'ExactlyOnceMetric',
    'GQASubmission',
    'LabelScoreMetric',
    'NLVR2Metric',
    'NLVR2Submission',
    'OpenEndedMetric',
    'QuestionMetric',
    'RetrievalMetric',
    'Submission',
    'VALUESubmission',
    'VQAMetric',
    'VQASubmission',
]
