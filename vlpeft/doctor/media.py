"""Codecs: a tiny clip is written and read back by each video reader, and the frames are compared."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .findings import BROKEN, NOTE, OK, Finding, one_line

#: Encoders by the name of what they write: what downloaded videos mostly are, and what every build has.
CODECS = {'H.264': 'libx264', 'VP9': 'libvpx-vp9', 'MPEG-4': 'mpeg4'}
READERS = {'PyAV': 'PyAVReader', 'decord': 'DecordReader'}
LEVELS = (30, 90, 150, 210)
TOLERANCE = 12


def check_media() -> Iterator[Finding]:
    """Each reader with each codec; it is broken if no reader decodes a codec that could be written."""
    with tempfile.TemporaryDirectory() as folder:
        for codec, encoder in CODECS.items():
            path = Path(folder) / f'{encoder}.mp4'
            try:
                write_clip(path, encoder)
            except Exception as error:  # noqa: BLE001  whatever a build of FFmpeg raises
                yield Finding(f'video {codec}', NOTE, f'not tried: PyAV cannot write it ({one_line(error)})')
                continue
            failures = {reader: text for reader in READERS if (text := fault(reader, path))}
            told = '; '.join(f'{reader}: {text}' for reader, text in failures.items())
            if not failures:
                yield Finding(f'video {codec}', OK, f'decoded by {" and ".join(READERS)}')
            elif len(failures) < len(READERS):
                good = next(reader for reader in READERS if reader not in failures)
                yield Finding(f'video {codec}', NOTE, f'{told}; use {READERS[good]}')
            else:
                yield Finding(f'video {codec}', BROKEN, f'no reader decodes it: {told}')


def write_clip(path: Path, encoder: str) -> None:
    """Four grey frames of the brightness :data:`LEVELS`."""
    import av

    with av.open(str(path), 'w') as container:
        stream = container.add_stream(encoder, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for level in LEVELS:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format='rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def fault(reader: str, path: Path) -> str:
    """What is wrong when a reader decodes the clip; '' if nothing is."""
    try:
        from vlpeft import registry

        frames = registry.READERS.build(dict(type=READERS[reader])).read(str(path), list(range(len(LEVELS))))
    except Exception as error:  # noqa: BLE001  a library that is not there, or whatever it raises
        return one_line(error)
    seen = np.asarray(frames, np.float64).reshape(len(LEVELS), -1).mean(axis=1)
    wrong = np.abs(seen - LEVELS).max() > TOLERANCE
    return f'frames of brightness {LEVELS} came back as {seen.round().astype(int).tolist()}' if wrong else ''
