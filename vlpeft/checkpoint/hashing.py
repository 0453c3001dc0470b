"""sha256 of a file, streamed and remembered."""

import hashlib
import os
from functools import cache
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def file_sha256(path: str | Path) -> str:
    """sha256 of a file's bytes; remembered within the process as long as path, mtime and size stay the same.

    Args:
        path: A local file.

    Returns:
        64 lower-case hexadecimal digits.

    Raises:
        FileNotFoundError: There is no such file.
    """
    stat = os.stat(path)
    return _sha256(os.path.realpath(path), stat.st_mtime_ns, stat.st_size)


@cache
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
