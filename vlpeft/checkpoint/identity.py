"""The identity of a base: what an adapter-only checkpoint records, and the check when it is used again."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from .download import fetch
from .errors import CheckpointError
from .hashing import file_sha256
from .shards import is_index, shard_names


def base_identity(source: str | Path) -> dict[str, str]:
    """Name and hash of a base checkpoint.

    Args:
        source: Anything ``fetch`` takes: path, ``file://``, ``http(s)://``.

    Returns:
        As :func:`file_identity`.
    """
    return file_identity(fetch(source))


def file_identity(path: Path) -> dict[str, str]:
    """Name and hash of a local file.

    Returns:
        ``name`` (file name without folders) and ``sha256``; of a checkpoint in several files the hash of their
            hashes.
    """
    if not is_index(path):
        return dict(name=path.name, sha256=file_sha256(path))
    return dict(name=path.name, sha256=_joint([file_sha256(path.with_name(name)) for name in shard_names(path)]))


def joint_identity(identities: list[Mapping[str, str]]) -> dict[str, str]:
    """Of several files: their names joined by ``+`` and the hash of their hashes, a file that is named twice once."""
    names = {identity['sha256']: identity['name'] for identity in identities}
    return dict(name=' + '.join(names.values()), sha256=next(iter(names)) if len(names) == 1 else _joint(list(names)))


def _joint(hashes: list[str]) -> str:
    return hashlib.sha256(''.join(hashes).encode()).hexdigest()


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
