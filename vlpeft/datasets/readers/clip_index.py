"""The frame index of a video file: which frames it holds and where decoding can start, read without decoding.

Readers share it, so they agree on the number of frames, on their numbers and on what a broken file is. It costs about
as much as opening the file (milliseconds).
"""

from dataclasses import dataclass

from .base import ClipError, check_file

# Seeking in decord 0.6 returns wrong frames outside these (MPEG-4 part 2 with B-frames, AVI, transport streams).
DECORD_CODECS = ('h264', 'hevc', 'vp8', 'vp9')
DECORD_FORMATS = ('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm')


@dataclass(frozen=True)
class ClipIndex:
    """Frames of a video file in presentation order.

    Args:
        times (tuple[int | None, ...]): Presentation time of each frame in units of the stream's time base; None in
            files without time stamps, which can only be decoded from their start.
        keys (tuple[int, ...]): Ascending numbers of the frames where decoding can start.
        fps (float): Average frames per second; 0 when the file does not say.
        size (tuple[int, int]): Coded height and width.
        decord_exact (bool): decord's seeking is exact for this file.
    """

    times: tuple
    keys: tuple
    fps: float
    size: tuple
    decord_exact: bool


def index_clip(path: str) -> ClipIndex:
    """Index the first video track of a file.

    Args:
        path (str): The file.

    Returns:
        ClipIndex: Its frames, at least one.

    Raises:
        ClipError: The file is missing, empty, damaged, truncated, audio-only, or its video track has no frame.
    """
    import av
    check_file(path)
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise ClipError(path, 'no video track')
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            return _index(path, container.format.name, stream, packets)
    except av.error.FFmpegError as error:
        raise ClipError(path, f'not a readable video, or truncated ({error.strerror})') from error


def _index(path: str, container_format: str, stream, packets: list) -> ClipIndex:
    whole = container_format != DECORD_FORMATS[0] or len(packets) >= stream.frames
    if not whole or any(packet.is_corrupt for packet in packets):
        raise ClipError(path, f'truncated or damaged: {len(packets)} of {stream.frames or "?"} frames are there')
    # Frames before an edit list's start are decoded but not shown.
    shown = [packet for packet in packets if not packet.is_discard]
    if not shown:
        raise ClipError(path, 'no video frames')
    fps = float(stream.average_rate or 0)
    size = (stream.codec_context.height, stream.codec_context.width)
    if any(packet.pts is None for packet in shown):
        return ClipIndex((None, ) * len(shown), (0, ), fps, size, decord_exact=False)
    times = sorted(packet.pts for packet in shown)
    number = {time: index for index, time in enumerate(times)}
    keys = sorted({0, *(number[packet.pts] for packet in shown if packet.is_keyframe)})
    exact = (container_format in DECORD_FORMATS and stream.codec_context.name in DECORD_CODECS
             and len(shown) == len(packets) and _gops_closed(shown))
    return ClipIndex(tuple(times), tuple(keys), fps, size, exact)


def _gops_closed(packets: list) -> bool:
    """No frame is shown before the key frame that precedes it in the file."""
    key_time = packets[0].pts
    for packet in packets:
        key_time = packet.pts if packet.is_keyframe else key_time
        if packet.pts < key_time:
            return False
    return True
