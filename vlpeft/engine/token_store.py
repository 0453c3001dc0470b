"""Vision tokens between the two stages of retrieval: in memory or on disk, as computed or in half of the bits."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import all_gather_object
from torch import Tensor

#: ``'float32'`` keeps tokens as they are computed, ``'bfloat16'`` rounds them to 8 bits of mantissa.
TOKEN_FORMATS = dict(float32=None, bfloat16=torch.bfloat16)
#: Where Linux says what a container may have: folder, limit, what is used, and what of that it gives back when asked.
CONTROL_GROUPS = (
    ('/sys/fs/cgroup', 'memory.max', 'memory.current', 'inactive_file'),
    ('/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
)


class TokenStore(Mapping[int, Tensor]):
    """Tokens of this process's clips by number, all of one shape; they come back in the format in which they were put.

    A file of it has no name: it goes with the process, however that ends.

    Args:
        clips: How many there are at most.
        dtype: Of ``TOKEN_FORMATS``.
        folder: Where the file lies. Defaults to None: memory.
    """

    def __init__(self, clips: int, dtype: str, folder: str | None = None) -> None:
        self.clips, self.dtype, self.folder = clips, dtype, folder
        self._rows: dict[int, int] = {}
        self._memory: list[Tensor] = []
        self._file, self._map = None, None
        self._shape, self._given = torch.Size(), torch.float32

    @staticmethod
    def check_arguments(dtype: str, folder: str | None) -> None:
        """Raises ``ValueError`` for an unknown format, or a folder that is none or that cannot be written to."""
        if dtype not in TOKEN_FORMATS:
            raise ValueError(f'token_dtype={dtype!r}; choose from {", ".join(TOKEN_FORMATS)}')
        if folder is not None and not (Path(folder).is_dir() and os.access(folder, os.W_OK)):
            raise ValueError(f'token_folder={folder!r} is no folder that can be written to')

    def format_of(self, tokens: Tensor) -> torch.dtype:
        """The number format in which tokens are kept."""
        return TOKEN_FORMATS[self.dtype] or tokens.dtype

    def bytes_of(self, tokens: Tensor) -> int:
        """What all clips take, those of one being ``tokens``."""
        return self.clips * tokens.numel() * self.format_of(tokens).itemsize

    def put(self, clip: int, tokens: Tensor) -> None:
        """Keeps the tokens (S, D) of a clip, from any device.

        Raises:
            OSError: The disk is full.
        """
        row = self._rows.setdefault(clip, len(self._rows))
        self._shape, self._given = tokens.shape, tokens.dtype
        if self.folder is not None:
            if self._file is None:
                self._open(tokens)
            self._stored(row).copy_(tokens)
        elif row == len(self._memory):
            self._memory.append(tokens.to('cpu', self.format_of(tokens)))

    def _open(self, tokens: Tensor) -> None:
        size = self.bytes_of(tokens)
        self._file = tempfile.TemporaryFile(dir=self.folder, prefix='vlpeft-tokens-')
        # The room is taken now: a write into a mapped file on a full disk would end the process.
        reserve = getattr(os, 'posix_fallocate', lambda file, start, length: os.ftruncate(file, length))
        try:
            reserve(self._file.fileno(), 0, size)
        except OSError as error:
            raise OSError(f'{self.folder}: no room for {told(size)} of vision tokens ({error.strerror})') from error
        self._kept = self.format_of(tokens)
        self._map = np.memmap(self._file, np.uint8, 'r+', shape=(self.clips, size // self.clips))

    def _stored(self, row: int) -> Tensor:
        return torch.from_numpy(self._map[row]).view(self._kept).view(self._shape)

    def rename(self, names: Mapping[int, int]) -> None:
        """Keeps the clips of ``names`` {old number: new one} alone."""
        self._rows = {names[clip]: row for clip, row in self._rows.items() if clip in names}

    def __getitem__(self, clip: int) -> Tensor:
        row = self._rows[clip]
        return (self._memory[row] if self.folder is None else self._stored(row)).to(self._given)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> 'TokenStore':
        return self

    def __exit__(self, *error: object) -> None:
        self._rows, self._memory, self._map = {}, [], None
        if self._file is not None:
            self._file.close()


def announce(store: TokenStore, tokens: Tensor | None, cfg: str) -> str | None:
    """What tokens like these of one clip will take for all clips of all processes; every process has to call it.

    Args:
        store: Where they will be kept.
        tokens: Those of one clip; None if none could be read.
        cfg: What the options belong to, such as ``'test_cfg'``, for the message.

    Returns:
        A line for the log; None if no process has tokens.

    Raises:
        ValueError: They do not fit into the free memory, or on the disk, of a machine; on all processes.
    """
    own = None if tokens is None else (store.bytes_of(tokens), str(store.format_of(tokens)).removeprefix('torch.'))
    free = free_memory() if store.folder is None else shutil.disk_usage(store.folder).free
    parts = all_gather_object((socket.gethostname(), store.clips, own, free))
    found = next((part[2] for part in parts if part[2] is not None), None)
    if found is None:
        return None
    each, kind = found[0] / store.clips, found[1]
    place = 'memory' if store.folder is None else f'{cfg}.token_folder={store.folder}'
    for host in sorted({part[0] for part in parts}):
        clips = sum(part[1] for part in parts if part[0] == host)
        left = min((part[3] for part in parts if part[0] == host and part[3] is not None), default=None)
        if left is not None and each * clips > left:
            advice = [] if kind == 'bfloat16' else [f'{cfg}.token_dtype=bfloat16 rounds them to fewer bits']
            advice += [f'{cfg}.token_folder=FOLDER keeps them on disk'] if store.folder is None else []
            advice.append(f'{cfg}.k_test=0 does without them')
            raise ValueError(
                f'the vision tokens of {clips:,} clips take {told(each * clips)} in {kind}, of which {place} of {host} '
                f'has {told(left)} free; {"; ".join(advice)}'
            )
    clips = sum(part[1] for part in parts)
    return f're-ranking keeps the vision tokens of {clips:,} clips, {told(each * clips)} in {kind}, in {place}'


def free_memory() -> int | None:
    """Bytes that this process can still have, by the machine and by the group that it is in; None where unknown."""
    found = []
    try:
        lines = dict(line.split(':') for line in Path('/proc/meminfo').read_text().splitlines())
        found.append(int(lines['MemAvailable'].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    for folder, limit, used, unused in CONTROL_GROUPS:
        try:
            group = Path(folder)
            caches = dict(line.split() for line in (group / 'memory.stat').read_text().splitlines())
            most, now = (int((group / name).read_text()) for name in (limit, used))
            found.append(most - now + int(caches[unused]))
        except (OSError, KeyError, ValueError):  # no group of this kind, or one without a limit
            pass
    return min(found, default=None)


def told(size: float) -> str:
    """``9.1 GB`` of bytes, or ``12.3 MB``."""
    return f'{size / 1e9:.1f} GB' if size >= 1e9 else f'{size / 1e6:.1f} MB'
