"""The base: the pretrained weights under an adapter, loaded the same way in every run."""

from typing import Dict, Optional

from mmengine.logging import print_log
from torch import nn

from .download import fetch
from .identity import base_identity
from .load import load_into


def load_base(model: nn.Module, source: str, sha256: Optional[str] = None) -> Dict[str, str]:
    """Loads a base checkpoint of any dialect into a model whose method is not attached yet.

    Args:
        model: Its towers must be filled wholly; what is missing elsewhere stays as initialised and is reported.
        source: Path or URL.
        sha256: Expected hash of the file. Defaults to None, unchecked.

    Returns:
        ``name`` and ``sha256`` of the file, which adapter checkpoints record.

    Raises:
        CheckpointError: Another hash, geometry or layout.
    """
    path = fetch(source, sha256=sha256)
    print_log(str(load_into(model, path, strict_parts=tuple(model.towers))), 'current')
    return base_identity(path)
