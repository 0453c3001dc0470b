"""The images and videos of a conversation, read in the worker."""

from collections.abc import Mapping
from typing import Any

from ..readers.urls import inline_bytes, is_inline, is_remote, remote_bytes, short
from .load_clip import LoadClip


class ChatMedia:
    """Reads what the turns of a sample show.

    Args:
        num_frames: Frames T of a video. Defaults to 8.
        sampling: As :class:`LoadClip`'s. Defaults to 'middle'.
        reader: Config of the video reader. Defaults to dict(type='DecordReader').
        image_reader: Config of the image reader. Defaults to dict(type='ImageReader').
    """

    def __init__(self, num_frames: int, sampling: str, reader: dict, image_reader: dict) -> None:
        self.clips = LoadClip(num_frames, sampling, reader, image_reader)

    def image(self, path: str) -> Any:
        """An image of PIL from a file, a ``data:`` URL or, where the set lets them through, an http URL.

        Raises:
            ClipError: It cannot be read.
        """
        from PIL import Image

        reader = self.clips.readers['image']
        if is_inline(path):
            return Image.fromarray(reader.decode(short(path), inline_bytes(path)))
        if is_remote(path):
            return Image.fromarray(reader.decode(path, remote_bytes(path)))
        return Image.fromarray(reader.read(path, [0])[0])

    def video(self, path: str, part: Mapping[str, float] = {}) -> tuple[Any, dict]:
        """T frames, uint8 (T, H, W, 3), and what a video processor asks about them.

        Args:
            path: The file.
            part: ``start`` and ``end`` in seconds. Defaults to {}, the whole.

        Raises:
            ClipError: It cannot be read.
        """
        info = self.clips.readers['video'].probe(path)
        found = self.clips.transform(dict(path=path, media='video', **part))
        frames = found['clip'].permute(0, 2, 3, 1).contiguous().numpy()
        rate = info.fps or 1.0
        known = dict(
            total_num_frames=info.num_frames,
            fps=rate,
            duration=info.duration or info.num_frames / rate,
            frames_indices=list(found['frame_indices']),
            height=frames.shape[1],
            width=frames.shape[2],
        )
        return frames, known
