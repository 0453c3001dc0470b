"""A run's work folder: one run at a time, its newest checkpoint that is whole, no leftovers."""

import logging
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from mmengine.logging import print_log

from vlpeft.atomic import remove_unfinished
from vlpeft.checkpoint import CheckpointError
from vlpeft.checkpoint.files import read_checkpoint
from vlpeft.checkpoint.manifest import check_manifest

from .position import require_resumable
from .ranks import first_process

LOCK = '.lock'
#: The name of the newest checkpoint, for people and scripts.
POINTER = 'last_checkpoint'
#: When a checkpoint was written, in its ``meta``: seconds since 1970.
SAVED_AT = 'saved_at'
RESUMABLE = ('epoch_*.pth', 'iter_*.pth')


def enter(folder: str | Path) -> FileLock | None:
    """Keeps other runs out of a work folder until the process ends, and removes what a killed one left half written.

    Returns:
        The lock, in the first process, before the process group exists; None in the others.

    Raises:
        SystemExit: Another run is in it.
    """
    if not first_process():
        return None
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    held = FileLock(folder / LOCK)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise SystemExit(f'another run is training in {folder}; wait for it, or choose another --work-dir') from None
    remove_unfinished(folder)
    return held


class Candidate(NamedTuple):
    """A checkpoint that a run could go on from."""

    saved_at: float
    iteration: int
    path: Path


def newest_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint of a work folder that was written last and is whole; those passed over are named in the log.


    Raises:
        CheckpointError: There are checkpoints, but none is whole.
    """
    found, problems = [], []
    for path in sorted(path for pattern in RESUMABLE for path in Path(folder).glob(pattern)):
        try:
            found.append(_candidate(path))
        except CheckpointError as error:
            problems.append(str(error))
    chosen = None
    for candidate in sorted(found, reverse=True):
        try:
            check_manifest(candidate.path)
            chosen = candidate.path
            break
        except CheckpointError as error:
            problems.append(str(error))
    if problems and chosen is None:
        raise CheckpointError(f'{folder} has checkpoints, but none can be resumed: ' + '; '.join(problems))
    for problem in problems:
        print_log(f'{problem}; going on from {chosen.name}', logger='current', level=logging.WARNING)
    return chosen


def resumed_from(wanted: str, folder: str | Path) -> str | None:
    """The checkpoint that ``--resume`` means.

    Args:
        wanted: 'auto', the newest of the work folder; or a path or URL.
        folder: The work folder.

    Returns:
        Its path or URL; None if there is none in the work folder, where the run then starts from scratch.

    Raises:
        SystemExit: It holds weights only, is damaged, or is no checkpoint.
    """
    try:
        if wanted == 'auto':
            newest = newest_checkpoint(folder)
            return newest and str(newest)
        if '://' not in wanted:
            _candidate(Path(wanted))
        return wanted
    except CheckpointError as error:
        raise SystemExit(f'--resume: {error}') from None


def _candidate(path: Path) -> Candidate:
    checkpoint = read_checkpoint(path, checked=False)
    require_resumable(checkpoint, str(path))
    meta = checkpoint['meta']
    return Candidate(meta.get(SAVED_AT, path.stat().st_mtime), meta['iter'], path)
