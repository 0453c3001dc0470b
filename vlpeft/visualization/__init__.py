"""Pages and pictures of results; they take plain data and depend on no model."""

from .gallery import ClipQuery, TextQuery, write_gallery

__all__ = ['ClipQuery', 'TextQuery', 'write_gallery']
