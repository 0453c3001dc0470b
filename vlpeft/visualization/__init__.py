"""Pages and pictures of results; they take plain data and depend on no model."""

from .answers import AnswerCard, Asked, write_answers
from .gallery import ClipQuery, TextQuery, write_gallery

__all__ = ['AnswerCard', 'Asked', 'ClipQuery', 'TextQuery', 'write_answers', 'write_gallery']
