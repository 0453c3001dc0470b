"""Checkpoints in several files, as hubs split large models: an ``….index.json`` says which file holds which tensor."""

import json
import re
from pathlib import Path

from .errors import CheckpointError

INDEX_SUFFIX = '.index.json'
NAME = re.compile(r'[\w\-+=@, ][\w\-+=@, .]*')


def is_index(path: str | Path) -> bool:
    """Whether a path or URL names an index."""
    return str(path).endswith(INDEX_SUFFIX)


def shard_names(index: Path) -> list[str]:
    """Names of the files that an index lists, each once, which stand beside it.

    Raises:
        CheckpointError: It is no index, or names a file elsewhere.
    """
    try:
        names = sorted(set(map(str, json.loads(index.read_text(encoding='utf-8'))['weight_map'].values())))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f'{index} is no index of a checkpoint: it has no "weight_map" of files') from error
    # A name is joined to a URL, too, where a colon or a query would lead elsewhere.
    outside = [name for name in names if not NAME.fullmatch(name) or is_index(name)]
    if outside or not names:
        raise CheckpointError(f'{index}: files must stand beside the index, got {outside or "none"}')
    return names


def check_shards(index: Path) -> None:
    """Whether each tensor of an index is in the safetensors file that it is listed with, and in no other.

    transformers takes the list for what is there, and leaves a tensor that is missing at values of its own.

    Raises:
        CheckpointError: One is not, or a file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    listed = json.loads(index.read_text(encoding='utf-8'))['weight_map']
    for name in shard_names(index):
        try:
            with safe_open(index.with_name(name), 'pt') as file:
                there = set(file.keys())
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f'{index.with_name(name)}: {error}') from error
        if absent := sorted(key for key, file in listed.items() if file == name and key not in there):
            raise CheckpointError(f'{index} lists {len(absent)} tensors with {name} that it lacks: {absent[0]}')
        if twice := sorted(key for key in there if listed.get(key, name) != name):
            raise CheckpointError(f'{index} lists {twice[0]} with {listed[twice[0]]}, and {name} holds it, too')
