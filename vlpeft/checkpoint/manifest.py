"""What a file held when it was written: size and CRC-32, in ``<file>.manifest.json`` beside it.

Neither torch's nor the safetensors format notices a flipped bit of a weight. Every checkpoint that vlpeft writes gets a
manifest, and every checkpoint that has one is checked when it is read. CRC-32 finds damage, not forgery: against that
stand hashes of the zoo and of bases. It is ten times as fast as sha256, of which every save would feel the cost.
"""

import json
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vlpeft.atomic import flush, write_atomically

from .errors import CheckpointError
from .hashing import file_sha256

SUFFIX = '.manifest.json'
#: Earlier versions whose entries stay.
KEPT = 7


def manifest_of(path: str | Path) -> Path:
    """Where the manifest of a file is."""
    return Path(f'{path}{SUFFIX}')


def write_with_manifest(path: str | Path, write: Callable[[str], None], data: bytes | None = None) -> None:
    """:func:`~vlpeft.atomic.write_atomically`, with a manifest.

    The manifest comes first and has the entries of earlier files beside the new one's, so that it is right at any
    moment, also when a write is killed again and again before the new file takes its place.

    Args:
        path: Of the file.
        write: As there.
        data: What it writes, if that is at hand: the manifest is then made while the file is written. Defaults to None.
    """
    path = Path(path)
    earlier = _versions(path)[:KEPT]

    def write_both(part: str) -> None:
        if data is None:
            write(part)
            _write_versions(path, [dict(size=os.path.getsize(part), crc32=checksum(part)), *earlier])
            return
        with ThreadPoolExecutor(1) as beside:
            manifest = beside.submit(
                lambda: _write_versions(path, [dict(size=len(data), crc32=zlib.crc32(data)), *earlier])
            )
            write(part)
            flush(part)
            manifest.result()

    write_atomically(path, write_both)


def write_manifest(path: str | Path, source: str | Path) -> None:
    """Writes the manifest of a download, when the complete file ``source`` is to take the place ``path``: its sha256,
    too, with which a later download of the same URL is compared.
    """
    entry = dict(size=os.path.getsize(source), crc32=checksum(source), sha256=file_sha256(source))
    _write_versions(Path(path), [entry])


def recorded_sha256(path: str | Path) -> str | None:
    """The hash in the manifest of a file, which may be gone; None if there is no readable manifest."""
    versions = _versions(Path(path))
    return versions[0].get('sha256') if versions else None


def check_manifest(path: str | Path) -> bool:
    """Compares a file with its manifest.

    Returns:
        Whether there is one.

    Raises:
        CheckpointError: The file is another than was written, or its manifest is none or of an older form.
    """
    path = Path(path)
    if not manifest_of(path).is_file():
        return False
    versions = _versions(path)
    if not versions:
        raise CheckpointError(f'{manifest_of(path)} is no manifest; remove it to read {path.name} unchecked')
    size = path.stat().st_size
    recorded = [entry.get('crc32') for entry in versions if entry.get('size') == size]
    if recorded and checksum(path) in recorded:
        return True
    if None in recorded:
        raise CheckpointError(
            f'{manifest_of(path)} is of an older form, without CRC-32; remove it to read {path.name} unchecked'
        )
    raise CheckpointError(
        f'{path} is damaged: it has {size:,} bytes, and its size or checksum is not the one that '
        f'was written ({versions[0].get("size")} bytes, see {manifest_of(path).name})'
    )


def remove_with_manifest(path: str | Path) -> None:
    """Removes a file and its manifest, if they are there."""
    for name in (Path(path), manifest_of(path)):
        name.unlink(missing_ok=True)


def checksum(path: str | Path) -> int:
    """CRC-32 of a file."""
    crc = 0
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 22):
            crc = zlib.crc32(chunk, crc)
    return crc


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
