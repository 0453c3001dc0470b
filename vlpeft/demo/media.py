"""Files as a browser can show them, whatever their format."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from vlpeft.apis.media_files import MEDIA
from vlpeft.datasets import ClipError
from vlpeft.datasets.readers import ImageReader, PyAVReader
from vlpeft.datasets.readers.base import decoding

#: Of a moving preview: pictures, milliseconds that each is seen, and pixels of the longer side.
PICTURES, SEEN_FOR, LONGEST = 8, 250, 480
#: Up to this size nothing is lost, because smaller pictures are seen enlarged.
SMALL = 128
#: What every browser plays: layouts of pixels, and codecs by suffix.
EIGHT_BITS = ('yuv420p', 'yuvj420p')
PLAYED = {'.mp4': ('h264', 'vp9', 'av1'), '.m4v': ('h264',), '.webm': ('vp8', 'vp9', 'av1'), '.ogv': ('theora',)}


def load_pictures(path: str) -> np.ndarray:
    """Eight frames of a video at even distances, or an image alone: uint8 (T, H, W, 3).

    Raises:
        ClipError: The file is missing, damaged, or neither a video nor an image by its suffix.
    """
    media = MEDIA.get(Path(path).suffix.lower())
    if media is None:
        raise ClipError(path, f'neither a video nor an image by its suffix; known: {", ".join(MEDIA)}', 'wrong_type')
    if media == 'image':
        return ImageReader().read(path, [0])
    reader = PyAVReader()
    last = reader.probe(path).num_frames - 1
    return reader.read(path, np.linspace(0, last, min(PICTURES, last + 1)).round().astype(int).tolist())


def preview(path: str) -> str:
    """A file as the address of a WebP picture that holds it; videos move. Errors: :func:`load_pictures`."""
    return f'data:image/webp;base64,{base64.b64encode(_write(load_pictures(path))).decode()}'


def still(path: str) -> bytes:
    """The first picture of a file, as a WebP file. Errors: :func:`load_pictures`."""
    return _write(load_pictures(path)[:1])


def plays(path: str) -> bool:
    """Whether browsers play a file as it is.

    Raises:
        ClipError: The file is damaged.
    """
    codecs = PLAYED.get(Path(path).suffix.lower(), ())
    if not codecs:
        return False
    import av

    with decoding(path, 'damaged or truncated'), av.open(path) as container:
        track = container.streams.best('video')
        if track is None:
            return False
        codec = track.codec_context
        return codec.codec.canonical_name in codecs and codec.pix_fmt in EIGHT_BITS


def _write(pictures: np.ndarray) -> bytes:
    first, *others = map(_shrink, pictures)
    stream = io.BytesIO()
    small = max(first.size) <= SMALL
    first.save(
        stream, 'WEBP', lossless=small, quality=82, save_all=True, append_images=others, duration=SEEN_FOR, loop=0
    )
    return stream.getvalue()


def _shrink(frame: np.ndarray) -> Image.Image:
    image = Image.fromarray(frame)
    image.thumbnail((LONGEST, LONGEST))
    return image
