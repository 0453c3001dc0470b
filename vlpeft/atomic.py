"""Writing a file whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

#: How names of files begin that are being written; a killed run leaves them.
WRITING = '.writing-'


def write_atomically(path: str | Path, write: Callable[[str], object]) -> None:
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
    # torch takes no name without a suffix, and readers of a folder must not take this file for one of theirs.
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=WRITING, suffix='.part')
    os.close(descriptor)
    try:
        write(part)
        os.chmod(part, 0o644)
        put_in_place(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def put_in_place(part: str | Path, path: str | Path) -> None:
    """Gives a complete file the name ``path``, when its bytes are on the disk."""
    flush(part)
    os.replace(part, path)


def remove_unfinished(folder: str | Path) -> None:
    """Removes what killed writers have left in a folder in which no other one writes."""
    for part in Path(folder).glob(f'{WRITING}*'):
        part.unlink(missing_ok=True)


def flush(path: str | Path) -> None:
    """Returns when the bytes of a file are on the disk."""
    with open(path, 'rb') as file:
        os.fsync(file.fileno())
