"""A batch that gave no finite loss or gradient, kept with all that is needed to compute it again.

The file holds tensors and plain data only, so that it can be read with ``weights_only=True`` like any checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.structures import BaseDataElement
from torch import Tensor

from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.files import read_checkpoint, write_checkpoint

#: Marks a sample among the plain data.
SAMPLE = 'data_sample'


class BadBatch(NamedTuple):
    """Attributes:
    iteration: Counted from 1, as in the log.
    rank, world_size: Of the process that read it.
    reason: What was not finite.
    samples: What messages call its samples.
    data_batch: As the loader gave it.
    generators: States of the random generators before its forward pass.
    autocast: Type of mixed precision, such as 'bfloat16'; None without.
    loss_scale: By which the loss was multiplied; 1 without scaling.
    """

    iteration: int
    rank: int
    world_size: int
    reason: str
    samples: list
    data_batch: Any
    generators: Mapping[str, Any]
    autocast: str | None = None
    loss_scale: float = 1.0

    def write(self, path: str | Path) -> None:
        """Writes the file."""
        write_checkpoint(dict(self._asdict(), data_batch=to_plain(self.data_batch)), path)

    @classmethod
    def read(cls, path: str | Path) -> 'BadBatch':
        """Reads what :meth:`write` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            CheckpointError: It is no such file, or damaged.
        """
        found = read_checkpoint(path)
        if lacking := set(cls._fields) - set(found):
            raise CheckpointError(f'{path} is no batch that training saved: it lacks {", ".join(sorted(lacking))}')
        batch = cls(**{name: found[name] for name in cls._fields})
        return batch._replace(data_batch=from_plain(batch.data_batch))


def to_plain(value: Any) -> Any:
    """Tensors on the CPU and plain data instead of samples; what is neither becomes its text."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, BaseDataElement):
        return {SAMPLE: dict(metainfo=to_plain(dict(value.metainfo_items())), fields=to_plain(dict(value.items())))}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(to_plain, value)) if type(value) in (list, tuple) else list(map(to_plain, value))
    if isinstance(value, np.generic):
        return value.item()
    known = value is None or isinstance(value, (str, int, float, bool))
    return value if known or isinstance(value, np.ndarray) and value.dtype.kind in 'biufc' else str(value)


def from_plain(value: Any) -> Any:
    """What :func:`to_plain` was given."""
    if isinstance(value, Mapping):
        if set(value) == {SAMPLE}:
            return BaseDataElement(
                metainfo=from_plain(value[SAMPLE]['metainfo']), **from_plain(value[SAMPLE]['fields'])
            )
        return {key: from_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(from_plain, value))
    return value
