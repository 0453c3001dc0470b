"""Writing a file or a folder whole or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

Result = TypeVar('Result')

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
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
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


class OccupiedError(ValueError):
    """A folder that may not be written: it holds something."""


def write_folder_atomically(
    target: str | Path, write: Callable[[Path], Result], known: Sequence[str], overwrite: bool = False
) -> Result:
    """Lets ``write`` fill a new folder, and gives it the name ``target`` when it is complete.

    Args:
        target: Folder; it must be empty if it is there.
        write: Called with the new folder.
        known: Files by one of which a folder is known to be of this kind, which may be replaced.
        overwrite: Whether a folder of this kind may be replaced. Defaults to False.

    Returns:
        What ``write`` returned.

    Raises:
        OccupiedError: ``target`` is a file, or a folder that holds something that may not be replaced. Nothing is
            written then.
    """
    target = Path(target)
    check_free(target, known, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=WRITING))
    try:
        result = write(part)
        part.chmod(0o755)
        _replace_folder(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return result


def check_free(target: Path, known: Sequence[str], overwrite: bool = False) -> None:
    """Whether :func:`write_folder_atomically` may write a folder. Arguments and errors: there."""
    if target.exists() and not target.is_dir():
        raise OccupiedError(f'{target} is a file; name a folder')
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            raise OccupiedError(f'{target} is not empty; choose another folder, or --overwrite to replace it')
        if not any((target / name).is_file() for name in known):
            lacks = f'no {known[0]}' if len(known) == 1 else f'neither {" nor ".join(known)}'
            raise OccupiedError(f'{target} holds {lacks}, so it is not replaced; remove it first')


def _replace_folder(part: Path, target: Path) -> None:
    """Gives a complete folder its name; the one that had it is removed when the new one is in its place."""
    former = None
    if target.exists():
        former = Path(tempfile.mkdtemp(dir=target.parent, prefix=WRITING)) / target.name
        target.rename(former)
    part.rename(target)
    if former is not None:
        shutil.rmtree(former.parent)


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
