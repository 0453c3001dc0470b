"""The frame index of a video file: which frames it holds, when they appear and where decoding can start.

It is read without decoding more than one frame. Readers share it, so they agree on the number of frames, on their
numbers and on what a broken file is. It costs about as much as opening the file (milliseconds).
"""

import struct
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .base import ClipError, ClipInfo
from .container import DECLARING, check_length, open_media, packet_end, video_track
from .display import changes_pictures, display_matrix
from .whole_containers import damage_in

MP4 = 'mov,mp4,m4a,3gp,3g2,mj2'
# Seeking in decord 0.6 returns wrong frames in others (MPEG-4 part 2 with B-frames, AVI, transport streams), and on a
# damaged WebM it may end the whole process.
DECORD_CODECS = ('h264', 'hevc')


@dataclass(frozen=True)
class ClipIndex:
    """Frames of a video file in presentation order.

    Args:
        track: Number of the video track among all tracks.
        times: Presentation time of each frame in units of the track's time base, ascending; None in files without time
            stamps, which can only be decoded from their start. Frames may share a time.
        keys: Ascending numbers of the frames where decoding can start.
        info: The same in seconds.
        size: Coded height and width.
        decord_exact: decord is safe and exact for this file.
    """

    track: int
    times: tuple
    keys: tuple
    info: ClipInfo
    size: tuple
    decord_exact: bool


def index_clip(path: str) -> ClipIndex:
    """Index the video track of a file.

    Args:
        path: The file.

    Returns:
        Its frames, at least one.

    Raises:
        ClipError: The file is missing, empty, damaged, truncated, audio-only, or its video track has no frame.
    """
    with open_media(path, 'not a readable video, or truncated') as container:
        if container.format.name == MP4 and _ends_inside_moov(path):
            raise ClipError(path, 'truncated: the file ends inside its table of contents')
        track = video_track(path, container)
        track.thread_type = 'NONE'  # the loader's workers are the parallelism
        wanted = container.streams if container.format.name in DECLARING else [track]
        packets = [packet for packet in container.demux(*wanted) if packet.size]
        _check_whole(path, container, track, packets)
        return _index(path, container, track, [packet for packet in packets if packet.stream_index == track.index])


def _check_whole(path: str, container, track, packets: list) -> None:
    """Raise :class:`ClipError` if the file ends before what its head promises, or the demuxer met damage."""
    count = sum(packet.stream_index == track.index for packet in packets)
    few = container.format.name in (MP4, 'avi') and count < track.frames
    if few or any(packet.is_corrupt for packet in packets):
        raise ClipError(path, f'truncated or damaged: {count} of {track.frames or "?"} frames are there')
    damage = damage_in(path, container.format.name)
    if damage:
        raise ClipError(path, damage)
    # The last frame may lack its duration.
    check_length(path, container, map(packet_end, packets), 1 / (track.average_rate or 10))


def _ends_inside_moov(path: str) -> bool:
    """Whether an MP4 file ends inside the box that lists its tracks; the first tracks may be there."""
    size, start = Path(path).stat().st_size, 0
    with open(path, 'rb') as file:
        while start + 16 <= size:
            file.seek(start)
            length, name, long = struct.unpack('>I4sQ', file.read(16))
            length = {0: size - start, 1: long}.get(length, length)
            if name == b'moov':
                return start + length > size
            start += max(length, 8)
    return False


def _index(path: str, container, track, packets: list) -> ClipIndex:
    # Frames before an edit list's start are decoded but not shown.
    shown = [packet for packet in packets if not packet.is_discard]
    if not shown:
        raise ClipError(path, 'no video frames')
    size = (track.codec_context.height, track.codec_context.width)
    if any(packet.pts is None for packet in shown):
        info = ClipInfo(len(shown), float(track.average_rate or 0))
        return ClipIndex(track.index, (None,) * len(shown), (0,), info, size, decord_exact=False)
    times = tuple(sorted(packet.pts for packet in shown))
    together = Counter(times)
    starts = [packet.pts for packet in shown if packet.is_keyframe and together[packet.pts] == 1]
    keys = tuple(sorted({0, *(bisect_left(times, pts) for pts in starts)}))
    exact = (
        container.format.name == MP4
        and track.codec_context.name in DECORD_CODECS
        and len(container.streams.video) == 1
        and len(together) == len(packets)
        and _gops_closed(shown)
        and _first_is_plain(track, packets[0])
    )
    return ClipIndex(track.index, times, keys, _in_seconds(track, times, shown), size, exact)


def _in_seconds(track, times: tuple, shown: list) -> ClipInfo:
    seconds = tuple(float((time - times[0]) * track.time_base) for time in times)
    last = float(max(packet.duration or 0 for packet in shown if packet.pts == times[-1]) * track.time_base)
    if not last:  # unknown: as long as the others
        last = seconds[-1] / max(len(times) - 1, 1) or float(1 / track.average_rate if track.average_rate else 0)
    duration = seconds[-1] + last
    return ClipInfo(len(times), len(times) / duration if duration else 0.0, seconds, duration)


def _first_is_plain(track, packet) -> bool:
    """Whether the first frame can be decoded and is neither turned nor mirrored, which decord ignores or does wrong."""
    import av

    try:
        frames = [*track.codec_context.decode(packet), *track.codec_context.decode(None)]
    except av.error.FFmpegError:
        return False
    return bool(frames) and not changes_pictures(display_matrix(frames[0]))


def _gops_closed(packets: list) -> bool:
    """No frame is shown before the key frame that precedes it in the file."""
    key_time = packets[0].pts
    for packet in packets:
        key_time = packet.pts if packet.is_keyframe else key_time
        if packet.pts < key_time:
            return False
    return True
