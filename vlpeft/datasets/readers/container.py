"""Opening a media container with FFmpeg, and which of its tracks is the video."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction

from .base import ClipError, check_file, decoding

# Containers that say in their head how long they last; a writer that is cut off leaves it out.
DECLARING = ('matroska,webm', 'flv', 'avi')


@contextmanager
def open_media(path: str, problem: str) -> Iterator:
    """Open a file with PyAV; everything that goes wrong in the block is a :class:`ClipError`.

    Args:
        path: The file.
        problem: What is said of a file that FFmpeg cannot read.

    Yields:
        av.container.InputContainer: The container.
    """
    import av

    check_file(path)
    _refuse_animated_webp(path)
    # A title in another encoding is no reason to refuse a film. PyAV 19 takes it unasked, and has no such argument.
    lenient = dict(metadata_errors='replace') if int(av.__version__.partition('.')[0]) < 19 else {}
    with decoding(path, problem), av.open(path, **lenient) as container:
        yield container


def video_track(path: str, container):
    """The track that is the video, as FFmpeg chooses.

    Of those that are no cover art, thumbnail or still, it is the one marked as default, then the one with more frames
    at its beginning; without such a mark the larger picture.

    Raises:
        ClipError: There is none; the reason says what there is instead.
    """
    from av.stream import Disposition

    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    films = [track for track in container.streams.video if not track.disposition & pictures]
    films = [track for track in films if not track.disposition & Disposition.still_image] or films
    if films:
        best = container.streams.best('video')
        return (
            best
            if best in films
            else max(
                films, key=lambda track: (bool(track.disposition & Disposition.default), track.width * track.height)
            )
        )
    only = 'audio-only, ' if container.streams.audio else ''
    cover = '; its picture is cover art or a thumbnail' if container.streams.video else ''
    raise ClipError(path, f'{only}no video track{cover}', 'wrong_type')


def packet_end(packet) -> Fraction | None:
    """Second at which a packet ends, as far as it says; None without time stamps."""
    begin = packet.dts if packet.pts is None else packet.pts
    return None if begin is None else (begin + (packet.duration or 0)) * packet.time_base


def check_length(path: str, container, ends: Iterable[Fraction | None], slack: Fraction) -> None:
    """Raise :class:`ClipError` if a file ends before what its head declares.

    Args:
        path: The file.
        container (av.container.InputContainer): Its container.
        ends: :func:`packet_end` of the packets of all tracks.
        slack: Seconds that may be missing, on top of the 0.1 s by which writers round.
    """
    if container.format.name not in DECLARING or not container.duration:
        return
    declared = Fraction(container.duration, 1_000_000)
    last = max((end for end in ends if end is not None), default=declared)
    if last + slack + Fraction(1, 10) < declared:
        raise ClipError(path, f'truncated: {float(last):.2f} s of {float(declared):.2f} s are there')


def _refuse_animated_webp(path: str) -> None:
    with open(path, 'rb') as file:
        head = file.read(21)
    if head[:4] == b'RIFF' and head[8:16] == b'WEBPVP8X' and head[20] & 2:
        raise ClipError(path, 'animated WebP is not supported as a video; convert it to MP4')
