"""The neighbours without their remarks on parts that vlpeft does not use."""

import contextlib
import io
import logging
import warnings
from typing import Iterator


def import_mmpretrain() -> None:
    """Imports mmpretrain's models; its missing-OneDL print and mmcv-lite's missing-ops warnings are dropped."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        import mmpretrain.models  # noqa: F401


@contextlib.contextmanager
def no_info_logs() -> Iterator[None]:
    """MMEngine logs every parameter it initialises, which says nothing about weights that a base then replaces."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
