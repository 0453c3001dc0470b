"""Other libraries without their remarks on parts that vlpeft does not use."""

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator

from mmengine.logging import MMLogger

from .compat import add_clips_resnet


def import_mmpretrain() -> None:
    """Imports mmpretrain's models; its missing-OneDL print and mmcv-lite's missing-ops warnings are dropped."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        import mmpretrain.models  # noqa: F401

        add_clips_resnet()


@contextlib.contextmanager
def no_info_logs() -> Iterator[None]:
    """MMEngine logs every parameter it initialises, which says nothing about weights that a base then replaces.

    Its logger remembers which levels are on and does not hear of ``logging.disable``, hence a filter.
    """
    logger = MMLogger.get_current_instance()
    outermost = _above_info not in logger.filters
    logger.addFilter(_above_info)
    try:
        yield
    finally:
        if outermost:
            logger.removeFilter(_above_info)


def _above_info(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO


@contextlib.contextmanager
def counted_logs(*phrases: str) -> Iterator[Counter]:
    """Counts the lines of MMEngine's current log that hold one of ``phrases`` instead of writing them.

    Yields:
        Lines by phrase, complete when the context ends.
    """
    counts: Counter = Counter()

    def passes(record: logging.LogRecord) -> bool:
        found = next((phrase for phrase in phrases if phrase in record.getMessage()), None)
        if found is not None:
            counts[found] += 1
        return found is None

    logger = MMLogger.get_current_instance()
    logger.addFilter(passes)
    try:
        yield counts
    finally:
        logger.removeFilter(passes)
