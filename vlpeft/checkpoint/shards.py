"""Checkpoints in several files, as hubs split large models: an ``….index.json`` says which file holds which tensor."""

import json
from pathlib import Path
from typing import List, Union

from .errors import CheckpointError

INDEX_SUFFIX = '.index.json'


def is_index(path: Union[str, Path]) -> bool:
    """Whether a path or URL names an index."""
    return str(path).endswith(INDEX_SUFFIX)


def shard_names(index: Path) -> List[str]:
    """Names of the files that an index lists, each once, which stand beside it.

    Raises:
        CheckpointError: It is no index, or names a file elsewhere.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding='utf-8'))['weight_map'].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f'{index} is no index of a checkpoint: it has no "weight_map" of files') from error
    outside = [name for name in names if name != Path(name).name or is_index(name)]
    if outside or not names:
        raise CheckpointError(f'{index}: files must stand beside the index, got {outside or "none"}')
    return names
