"""Imports of the neighbours without their remarks on optional parts that vlpeft does not use."""

import contextlib
import io
import warnings


def import_mmpretrain() -> None:
    """Imports mmpretrain's models; its missing-OneDL print and mmcv-lite's missing-ops warnings are dropped."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        import mmpretrain.models  # noqa: F401
