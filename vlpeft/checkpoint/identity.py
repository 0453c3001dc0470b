"""The identity of a base: what an adapter-only checkpoint records, and the check when it is used again."""

import hashlib
from pathlib import Path

from .download import fetch
from .errors import CheckpointError
from .hashing import file_sha256
from .shards import is_index, shard_names


def base_identity(source: str | Path) -> dict[str, str]:
    """Name and hash of a base checkpoint file.

    Args:
        source: Anything ``fetch`` takes: path, ``file://``, ``http(s)://``.

    Returns:
        ``name`` (file name without folders) and ``sha256``; of a checkpoint in several files the hash of their
            hashes.
    """
    path = fetch(source)
    if not is_index(path):
        return dict(name=path.name, sha256=file_sha256(path))
    hashes = ''.join(file_sha256(path.with_name(name)) for name in shard_names(path))
    return dict(name=path.name, sha256=hashlib.sha256(hashes.encode()).hexdigest())


def check_base(recorded: dict[str, str], actual: dict[str, str] | None, origin: str) -> None:
    """Refuse an adapter on another base than the one it was trained on. Names may differ, bytes may not.

    Args:
        recorded: The identity that the adapter checkpoint holds.
        actual: The identity of the base in use; None when there is none.
        origin: The adapter checkpoint, for the message.

    Raises:
        CheckpointError: No base, or one with another hash.
    """
    if actual is None:
        raise CheckpointError(
            f'{origin} holds trained parts only and needs its base {recorded["name"]} (sha256 {recorded["sha256"]}), '
            'but no base checkpoint is given'
        )
    if actual['sha256'] != recorded['sha256']:
        raise CheckpointError(
            f'{origin} was trained on another base:\n'
            f'  recorded  {recorded["name"]}  sha256 {recorded["sha256"]}\n'
            f'  given     {actual["name"]}  sha256 {actual["sha256"]}'
        )
