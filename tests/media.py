"""Tiny real media files for tests, written with PyAV: good clips and every kind of broken one.

Frames carry their own number as a black-and-white bar code, so a test reads back WHICH frame a reader returned.
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

BITS = 10


def numbered_frames(num_frames: int, size: tuple[int, int] = (48, 80)) -> np.ndarray:
    """Frames whose upper half is their number in binary and whose lower half is a moving colour ramp.

    Args:
        num_frames (int): Frames, at most 1024.
        size (tuple[int, int]): Height and width in pixels; the width is split into 10 bars. Defaults to (48, 80).

    Returns:
        np.ndarray: uint8 (num_frames, H, W, 3).
    """
    height, width = size
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    ramp = np.linspace(40, 200, width).astype(np.uint8)
    for number, frame in enumerate(frames):
        bars = [(number >> bit) & 1 for bit in range(BITS)]
        frame[: height // 2] = (np.repeat(bars, width // BITS) * 255)[None, :, None]
        frame[height // 2 :, :, 0] = np.roll(ramp, number)
        frame[height // 2 :, :, 1] = 120
        frame[height // 2 :, :, 2] = np.roll(ramp[::-1], number)
    return frames


def frame_number(frame: np.ndarray) -> int:
    """Number that a frame (H, W, 3) of :func:`numbered_frames` shows, whatever codec it went through."""
    upper = frame[: frame.shape[0] // 2].mean(axis=(0, 2))
    bars = upper.reshape(BITS, -1).mean(axis=1) > 127
    return int(sum(1 << bit for bit, on in enumerate(bars) if on))


def write_video(
    path,
    frames,
    fps=10,
    codec: str = 'libx264',
    audio: bool = False,
    options: dict | None = None,
    pts: list[int] | None = None,
) -> str:
    """Encode frames (N, H, W, 3) uint8 as a video file; the container follows the suffix of ``path``.

    Args:
        path (str | Path): File to write.
        frames (np.ndarray): uint8 (N, H, W, 3); H and W even.
        fps (int | Fraction): Frames per second. Defaults to 10.
        codec (str): Encoder name. Defaults to 'libx264' (H.264).
        audio (bool): Add a silent audio track. Defaults to False.
        options (dict, optional): Encoder options, for example ``dict(g='12', bf='3')``.
        pts (list[int], optional): Presentation times in units of 1/fps, for variable frame rates. Defaults to
            0..N-1.

    Returns:
        str: ``path``.
    """
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=Fraction(fps), options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        if audio:
            _write_silence(container, seconds=max(len(frames) / fps, 0.1))
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format='rgb24')
            frame.pts, frame.time_base = number if pts is None else pts[number], 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def write_tracks(
    path,
    frames=(),
    cover: str = '',
    sound: str = '',
    disposition: int | None = None,
    matrix: list[int] | None = None,
    size: tuple[int, int] = (640, 480),
    options: dict | None = None,
) -> str:
    """A file with up to three tracks, in this order: one grey picture, a video at 10 fps, a silent second of sound.

    Args:
        path (str | Path): File to write.
        frames (np.ndarray): uint8 (N, H, W, 3) of the video, H.264; none by default.
        cover (str): Encoder of the single picture; none by default.
        sound (str): Encoder of the sound; none by default.
        disposition (int, optional): Marks of the single picture, for example ``av.stream.Disposition.attached_pic``.
        matrix (list[int], optional): Display matrix of the video, 9 numbers.
        size (tuple[int, int]): Width and height of the single picture. Defaults to (640, 480).
        options (dict, optional): Options of the container.
    """
    with av.open(str(path), 'w', options=options or {}) as container:
        if cover:
            picture = container.add_stream(cover, rate=10)
            picture.width, picture.height, picture.pix_fmt = *size, 'yuvj420p'
            picture.disposition = picture.disposition if disposition is None else disposition
        if len(frames):
            film = container.add_stream('libx264', rate=10, options=dict(g='12'))
            film.height, film.width, film.pix_fmt = *frames.shape[1:3], 'yuv420p'
            if matrix is not None:
                film.set_display_matrix(matrix)
        if sound:
            track = container.add_stream(sound, rate=16000, layout='mono')
        if cover:
            still = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 200, np.uint8), format='rgb24')
            still.pts = 0
            container.mux([*picture.encode(still), *picture.encode()])
        for array in frames:
            container.mux(film.encode(av.VideoFrame.from_ndarray(array, format='rgb24')))
        if len(frames):
            container.mux(film.encode())
        for start in range(0, 16000 if sound else 0, 1152):
            piece = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format='fltp', layout='mono')
            piece.sample_rate, piece.pts = 16000, start
            container.mux(track.encode(piece))
        if sound:
            container.mux(track.encode())
    return str(path)


def write_audio_only(path, seconds: float = 0.5) -> str:
    """An mp4 with an audio track and no video track."""
    with av.open(str(path), 'w') as container:
        _write_silence(container, seconds)
    return str(path)


def write_zero_frames(path) -> str:
    """An mp4 whose video track holds no frame (an interrupted recording)."""
    with av.open(str(path), 'w', options=dict(movflags='empty_moov+frag_keyframe')) as container:
        stream = container.add_stream('libx264', rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 80, 'yuv420p'
        container.start_encoding()
    return str(path)


def write_truncated(path, frames, keep: float = 0.5, faststart: bool = True) -> str:
    """An mp4 cut after a share of its bytes (a download that broke off).

    Args:
        path (str | Path): File to write.
        frames (np.ndarray): uint8 (N, H, W, 3).
        keep (float): Share of the bytes kept. Defaults to 0.5.
        faststart (bool): Index at the front, so that the cut file still opens and promises all frames; otherwise
            the index is lost with the tail. Defaults to True.
    """
    whole = Path(f'{path}.whole.mp4')
    with av.open(str(whole), 'w', options=dict(movflags='faststart') if faststart else {}) as container:
        stream = container.add_stream('libx264', rate=10)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'yuv420p'
        for array in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format='rgb24')))
        container.mux(stream.encode())
    data = whole.read_bytes()
    Path(path).write_bytes(data[: int(len(data) * keep)])
    whole.unlink()
    return str(path)


def write_image(path, size: tuple[int, int] = (48, 80), seed: int = 0) -> str:
    """A random RGB image file; the format follows the suffix of ``path``."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def _write_silence(container, seconds: float) -> None:
    stream = container.add_stream('aac', rate=8000, layout='mono')
    for start in range(0, int(8000 * seconds), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format='fltp', layout='mono')
        frame.sample_rate, frame.pts = 8000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
