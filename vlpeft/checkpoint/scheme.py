"""Lets MMEngine's runner load what vlpeft reads: any dialect, safetensors, cached and resumed downloads."""

from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader

from .download import fetch
from .files import read_checkpoint

SCHEME = 'vlpeft://'


@CheckpointLoader.register_scheme(prefixes=(SCHEME,))
def load_from_source(filename: str, map_location: str | None = None, logger: Any = None) -> dict[str, Any]:
    """Reads ``vlpeft://SOURCE``, a path or URL; tensors stay on the CPU until they are copied into the model."""
    return read_checkpoint(fetch(filename[len(SCHEME) :]))
