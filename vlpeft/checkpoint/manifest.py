"""What a file held when it was written: size and sha256, in ``<file>.manifest.json`` beside it.

Neither torch's nor the safetensors format notices a flipped bit of a weight. Every checkpoint that vlpeft writes gets a
manifest, and every checkpoint that has one is checked when it is read.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from .errors import CheckpointError
from .hashing import file_sha256

SUFFIX = '.manifest.json'
#: How names of files begin that are being written; a killed run leaves them.
WRITING = '.writing-'


def manifest_of(path: str | Path) -> Path:
    """Where the manifest of a file is."""
    return Path(f'{path}{SUFFIX}')


def write_atomically(path: str | Path, write: Callable[[str], None]) -> None:
    """Lets ``write`` fill a temporary file, and puts that in the place of ``path`` when it is complete.

    A reader finds the old or the new file, never a part of one, whenever the process is killed.

    Args:
        path: Of the file; its folder is made.
        write: Called with the name of the temporary file.

    Raises:
        OSError: It cannot be written; the old file is still there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=WRITING, suffix=path.suffix)
    os.close(descriptor)
    try:
        write(part)
        with open(part, 'rb') as file:
            os.fsync(file.fileno())
        os.chmod(part, 0o644)
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def write_with_manifest(path: str | Path, write: Callable[[str], None]) -> None:
    """:func:`write_atomically`, with a manifest.

    The manifest comes first and has the old file's entry beside the new one's, so that it is right at any moment.
    """
    path = Path(path)

    def write_both(part: str) -> None:
        write(part)
        _write_versions(path, [_entry(Path(part)), *_versions(path)[:1]])

    write_atomically(path, write_both)


def write_manifest(path: str | Path, source: str | Path) -> None:
    """Writes the manifest that ``path`` gets when the complete file ``source`` takes its place."""
    _write_versions(Path(path), [_entry(Path(source))])


def recorded_sha256(path: str | Path) -> str | None:
    """The hash in the manifest of a file, which may be gone; None if there is no readable manifest."""
    versions = _versions(Path(path))
    return versions[0].get('sha256') if versions else None


def check_manifest(path: str | Path) -> bool:
    """Compares a file with its manifest.

    Returns:
        Whether there is one.

    Raises:
        CheckpointError: The file is another than was written, or its manifest is none.
    """
    path = Path(path)
    if not manifest_of(path).is_file():
        return False
    versions = _versions(path)
    if not versions:
        raise CheckpointError(f'{manifest_of(path)} is no manifest; remove it to read {path.name} unchecked')
    size = path.stat().st_size
    if not any(entry.get('size') == size and entry.get('sha256') == file_sha256(path) for entry in versions):
        raise CheckpointError(f'{path} is damaged: it has {size:,} bytes, and its size or sha256 is not the one that '
                              f'was written ({versions[0].get("size"):,} bytes, see {manifest_of(path).name})')
    return True


def remove_with_manifest(path: str | Path) -> None:
    """Removes a file and its manifest, if they are there."""
    for name in (Path(path), manifest_of(path)):
        name.unlink(missing_ok=True)


def _entry(path: Path) -> dict:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return dict(size=path.stat().st_size, sha256=digest.hexdigest())


def _write_versions(path: Path, versions: list[dict]) -> None:
    text = json.dumps(dict(file=path.name, versions=versions), indent=1) + '\n'
    write_atomically(manifest_of(path), lambda name: Path(name).write_text(text))


def _versions(path: Path) -> list[dict]:
    """Entries of a file's manifest; none if there is no readable one."""
    try:
        versions = json.loads(manifest_of(path).read_text())['versions']
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [entry for entry in versions if isinstance(entry, dict)] if isinstance(versions, list) else []
