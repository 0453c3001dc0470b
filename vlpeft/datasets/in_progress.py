"""Which clip each loader worker is reading, so that the death of a worker (a decoder that crashes, memory that runs
out) names the clip. What kills a process leaves it no time to say so itself.
"""

import mmap
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

SLOTS, SLOT = 256, 1024
HEAD = struct.Struct('qq')  # process id, bytes of the text

# Memory that forked workers share with this process; a worker writes where its process id says.
_table = mmap.mmap(-1, SLOTS * SLOT)


class DeadWorkerError(RuntimeError):
    """A loader worker has died while it was reading a clip."""


def note_clip(sample: dict) -> None:
    """Note in the calling process that it starts reading a sample (``path``, ``paths`` or ``name``)."""
    pid = os.getpid()
    text = ', '.join(map(str, sample.get('paths') or [sample.get('path', sample.get('name', '?'))]))
    data = text.encode(errors='replace')[: SLOT - HEAD.size]
    start = pid % SLOTS * SLOT
    _table[start : start + HEAD.size + len(data)] = HEAD.pack(pid, len(data)) + data


def clip_in_progress(pid: int) -> str | None:
    """The last clip that a worker of this process has begun to read; None if nothing is known of it."""
    start = pid % SLOTS * SLOT
    owner, length = HEAD.unpack_from(_table, start)
    if owner != pid:
        return None
    return _table[start + HEAD.size : start + HEAD.size + length].decode(errors='replace')


@contextmanager
def naming_dead_workers() -> Iterator[None]:
    """Add the clip to the error of a ``DataLoader`` whose worker has died in the block.

    Raises:
        DeadWorkerError: The loader's message, and what the worker was reading.
    """
    try:
        yield
    except RuntimeError as error:
        found = re.search(r'DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)', str(error))
        clips = {pid: clip_in_progress(int(pid)) for pid in found[1].split(', ')} if found else {}
        reading = [f'worker {pid} was reading {clip}' for pid, clip in clips.items() if clip]
        if not reading:
            raise
        raise DeadWorkerError(
            f'{str(error).strip().rstrip(".")}; {"; ".join(reading)}. Remove or repair this file, or '
            'use fewer workers if the memory is full'
        ) from error
