"""A checkpoint as all of vlpeft sees it, made once where a file is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .errors import CheckpointError
from .files import read_checkpoint

#: Entries of a file below which the weights may be; else they are the file's own entries.
BELOW = ('state_dict', 'model', 'model_state')


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights of a model and what their file says about them.

    Attributes:
        weights: By the names of the file's layout.
        meta: What the file says about itself; empty in most foreign layouts.
        origin: The file, for messages.
    """

    weights: Mapping[str, Tensor]
    meta: Mapping[str, Any]
    origin: str

    @classmethod
    def of(cls, content: Mapping[str, Any], origin: str = 'checkpoint') -> 'Checkpoint':
        """What :func:`~vlpeft.checkpoint.files.read_checkpoint` returned, or a bare state dict, as a checkpoint.

        Args:
            content: Weights under ``state_dict``, ``model`` or ``model_state``, or at its top; perhaps ``meta``.
            origin: The file, for messages. Defaults to "checkpoint".

        Raises:
            CheckpointError: It holds no tensor.
        """
        found = next((content[name] for name in BELOW if isinstance(content.get(name), Mapping)), content)
        weights = {key: value for key, value in found.items() if isinstance(value, Tensor)}
        if not weights:
            raise CheckpointError(
                f'{origin} holds no weights; its entries are ' + (', '.join(map(str, list(content)[:5])) or 'none')
            )
        meta = content.get('meta')
        return cls(weights, dict(meta) if isinstance(meta, Mapping) else {}, str(origin))

    @classmethod
    def read(cls, path: str | Path, origin: str | None = None) -> 'Checkpoint':
        """Reads a local file: the one way from a file to weights.

        Args:
            path: The file.
            origin: Where it came from, for messages. Defaults to None: the file.

        Raises:
            FileNotFoundError: There is no such file.
            CheckpointError: It is no checkpoint, is damaged, holds no tensor, or objects that are not declared safe.
        """
        return cls.of(read_checkpoint(path), origin or str(path))
