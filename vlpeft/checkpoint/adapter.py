"""Adapter checkpoints as safetensors: the trained tensors, and a record of what they belong to."""

from pathlib import Path
from typing import Any

from torch import Tensor

from .errors import CheckpointError
from .files import write_safetensors


def export_safetensors(state: dict[str, Tensor], path: str | Path, meta: dict[str, Any]) -> None:
    """Write trained tensors (keys of our models) as one safetensors file, which ``Checkpoint.read`` reads.

    Args:
        state: The trained tensors.
        path: Ends in ``.safetensors``.
        meta: Anything JSON can hold; ``base`` holds the identity of the base (``base_identity``).

    Raises:
        CheckpointError: ``state`` is empty, or the name does not end in ``.safetensors``.
    """
    if not state:
        raise CheckpointError(f'{path}: nothing to export, the state dict is empty')
    if Path(path).suffix != '.safetensors':
        raise CheckpointError(f'{path}: an exported adapter must be named *.safetensors')
    write_safetensors(state, path, meta)
