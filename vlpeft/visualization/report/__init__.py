"""Report of a test as one HTML page: figures with intervals, charts, and examples that a rule has chosen."""

from .page import PAGE, write_report

__all__ = ['PAGE', 'write_report']
