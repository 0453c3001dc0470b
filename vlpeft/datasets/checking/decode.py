"""What a worker process does with one file: it reads all that the samples take of it."""

import hashlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..frame_sampling import frame_range, timed_range
from ..readers import ClipError, FeatureReader
from ..readers.base import check_file
from .file_types import wrong_type
from .sources import Loader, Source

# Bytes of decoded frames that are held at a time.
HELD = 1 << 27
Problem = tuple[str, str]


def check_source(loader: Loader, source: Source, fast: bool) -> dict:
    """Read a file.

    Args:
        loader: What decodes it.
        source: The file.
        fast: Whether only existence, size and first bytes are looked at.

    Returns:
        ``problems``, a list of (kind, reason), and ``digest`` of its content, None with ``fast`` or where it cannot be
        read.
    """
    problems, digest = [], None
    try:
        if source.media == 'feature':
            digest = _features(loader.reader, source.name, fast)
        else:
            check_file(source.path)
            wrong = wrong_type(source.path, source.media)
            problems += [('wrong_type', wrong)] if wrong else []
            if not fast:
                digest = _digest_of_file(source.path)
                problems += _READ[source.media](loader, source)
    except ClipError as error:
        if error.kind != 'wrong_type' or not problems:
            problems.append((error.kind, error.reason or str(error)))
    return dict(problems=problems, digest=digest)


def _features(reader, name: str, fast: bool) -> str | None:
    if fast and isinstance(reader, FeatureReader):
        reader.find(name)
        return None
    features = np.ascontiguousarray(reader.read(name))
    head = f'{features.dtype}{features.shape}'.encode()
    return hashlib.sha256(head + features.tobytes()).hexdigest()


def _image(loader: Loader, source: Source) -> list[Problem]:
    loader.reader.read(source.path, [0])
    return []


def _video(loader: Loader, source: Source) -> list[Problem]:
    """Decode every frame that a sample may show."""
    path, info = source.path, loader.reader.probe(source.path)
    problems, wanted = [], set()
    for start, end, num_frames in sorted(source.needs, key=str):
        try:
            if info.times is None:
                first, stop = frame_range(info.num_frames, info.fps, start, end)
            else:
                first, stop = timed_range(info.times, info.duration, start, end)
        except ValueError as error:
            problems.append(('too_short', str(error)))
            continue
        wanted.update(range(first, stop))
        if stop - first < num_frames:
            problems.append(
                (
                    'too_short',
                    f'{stop - first} frames{_between(start, end)}, a sample takes {num_frames}: frames are repeated',
                )
            )
        length = info.duration if info.times is not None else info.num_frames / (info.fps or 1)
        problems += _ends_early(start, end, length, 1 / (info.fps or 1))
    for numbers in _pieces(loader.reader, path, sorted(wanted)):
        loader.reader.read(path, numbers)
    return problems


def _pieces(reader, path: str, numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    if not numbers:
        return
    size = reader.read(path, numbers[:1]).nbytes
    step = max(16, HELD // size)
    for start in range(0, len(numbers), step):
        yield numbers[start : start + step]


def _audio(loader: Loader, source: Source) -> list[Problem]:
    problems = []
    for start, end in sorted({need[:2] for need in source.needs}, key=str):
        try:
            samples, rate = loader.reader.read(source.path, start, end)
            if loader.fbank is not None:
                loader.fbank.transform(dict(waveform=torch.from_numpy(samples), sample_rate=rate, path=source.path))
        except ClipError as error:
            if error.kind != 'too_short':
                raise
            problems.append((error.kind, error.reason))  # other ranges may be there
            continue
        problems += _ends_early(start, end, (start or 0) + len(samples) / rate, 0.05)
    return problems


_READ = dict(image=_image, video=_video, audio=_audio)


def _ends_early(start: float | None, end: float | None, length: float, tolerance: float) -> list[Problem]:
    if end is None or length + tolerance >= end:
        return []
    return [('too_short', f'annotated until {end:g} s, it lasts {length:.2f} s')]


def _between(start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return ''
    return f' from {start or 0:g} s to {"its end" if end is None else f"{end:g} s"}'


def _digest_of_file(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def stamp_of(path: str) -> str:
    """Size and time of the last change of a file; empty if there is none."""
    try:
        stat = os.stat(path)
    except OSError:
        return ''
    return f'{stat.st_size}-{stat.st_mtime_ns}'
