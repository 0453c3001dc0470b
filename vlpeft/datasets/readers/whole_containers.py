"""Whether a container is whole where FFmpeg passes over damage: each kind by what its own structure says."""

import mmap
import struct
from pathlib import Path

import numpy as np

TS_PACKET = 188
FLV_PICTURE = 9
FLV_TAGS = {8, FLV_PICTURE, 18}
# Masters whose children are looked at: Segment, Cluster and BlockGroup.
MATROSKA_MASTERS = {b'\x18\x53\x80\x67', b'\x1f\x43\xb6\x75', b'\xa0'}
# Children of a Segment, of a Cluster and of a BlockGroup, and what may be anywhere (Void, CRC-32).
MATROSKA_KNOWN = {
    bytes.fromhex(name)
    for name in (
        'ec bf 114d9b74 1549a966 1654ae6b 1f43b675 1c53bb6b 1941a469 1043a770 1254c367 '
        'e7 a7 ab a3 a0 af 5854 a1 75a1 9b fa fb fd a4 a2 8e c8 75a2'
    ).split()
}
MATROSKA_TRACKS = b'\x16\x54\xae\x6b'
# Simple blocks, and blocks in groups.
MATROSKA_BLOCKS = {b'\xa3', b'\xa1'}
UNKNOWN_SIZE = -1


def damage_in(path: str, format_name: str) -> str | None:
    """What is damaged in the structure of a container; None if nothing is, or nothing could tell.

    Args:
        path: The file.
        format_name: FFmpeg's name of the container.
    """
    walk = dict(mpegts=_transport_stream, flv=_flv).get(format_name)
    if format_name.startswith('matroska'):
        walk = _matroska
    return walk and walk(path)


def _transport_stream(path: str) -> str | None:
    data = np.memmap(path, np.uint8, mode='r')
    if len(data) <= TS_PACKET or not data[0] == data[TS_PACKET] == 0x47:
        return None  # with time codes between the packets, or with something before the first
    if len(data) % TS_PACKET:
        return 'truncated: the transport stream ends inside a packet'
    lost = int((data[::TS_PACKET] != 0x47).sum())
    return f'damaged: {lost} packets of the transport stream are none' if lost else None


def _flv(path: str) -> str | None:
    """Tags follow each other without a gap, and all pictures are of one codec."""
    size, codec = Path(path).stat().st_size, None
    with open(path, 'rb') as file:
        place = struct.unpack('>I', file.read(9)[5:])[0] + 4
        while place + 11 <= size:
            file.seek(place)
            head = file.read(12)
            kind, length = head[0] & 0x1F, 11 + int.from_bytes(head[1:4], 'big')
            file.seek(place + length)
            again = file.read(4)
            if kind not in FLV_TAGS or (len(again) == 4 and int.from_bytes(again, 'big') not in (0, length)):
                return f'damaged: no whole tag at byte {place:,}'
            if kind == FLV_PICTURE and length > 11:
                codec = codec or head[11] & 0x0F
                if head[11] & 0x0F != codec:
                    return f'damaged: the picture at byte {place:,} is of another codec than those before it'
            place += length + 4
    return None


def _matroska(path: str) -> str | None:
    """Elements lie in each other, and blocks belong to tracks that there are. Elements of unknown size are passed over:
    a live recording is checked as far as they begin.
    """
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        name, place, length = _element(data, 0)
        if name != b'\x1a\x45\xdf\xa3':
            return None
        place, ends, tracks = place + length, [len(data)], set()
        while True:
            while len(ends) > 1 and place == ends[-1]:
                ends.pop()
            if place >= len(data):
                return (
                    None
                    if len(ends) == 1
                    else (f'truncated: the file ends {ends[1] - len(data):,} bytes before its end')
                )
            if place > ends[-1]:
                return f'damaged: an element ends at byte {place:,}, the one around it at {ends[-1]:,}'
            start = place
            name, place, length = _element(data, place)
            if length == UNKNOWN_SIZE or (len(ends) == 1 and name not in MATROSKA_MASTERS):
                return None
            if len(ends) > 1 and name not in MATROSKA_KNOWN:
                return f'damaged: no element of Matroska at byte {start:,}'
            if name == MATROSKA_TRACKS:
                tracks = _track_numbers(data, place, place + length)
            elif name in MATROSKA_BLOCKS and tracks and _number(data, place)[0] not in tracks:
                return f'damaged: the block at byte {start:,} belongs to no track'
            if name in MATROSKA_MASTERS:
                ends.append(place + length)
            else:
                place += length


def _track_numbers(data: mmap.mmap, place: int, end: int) -> set[int]:
    """Numbers of the tracks in the content of a Tracks element."""
    numbers = set()
    while place < end:
        name, place, length = _element(data, place)
        stop = place + length
        while name == b'\xae' and place < stop:
            child, place, length = _element(data, place)
            if child == b'\xd7':
                numbers.add(int.from_bytes(data[place : place + length], 'big'))
            place += max(length, 0)
        place = max(stop, place)
    return numbers


def _element(data: mmap.mmap, place: int) -> tuple[bytes, int, int]:
    """Name of an EBML element, where its content begins, and its size; a name without a size at the end of the data."""
    more = 8 - data[place].bit_length() if data[place] else 0
    name, place = data[place : place + 1 + more], place + 1 + more
    if place >= len(data) or not data[place]:
        return name, place + 1, 0
    length, bits, place = _number(data, place)
    return name, place, UNKNOWN_SIZE if length == (1 << bits) - 1 else length


def _number(data: mmap.mmap, place: int) -> tuple[int, int, int]:
    """A number of variable length, its bits, and where it ends; 0 if there is none."""
    if place >= len(data) or not data[place]:
        return 0, 0, place + 1
    more = 8 - data[place].bit_length()
    rest = data[place + 1 : place + 1 + more]
    return int.from_bytes(bytes([data[place] & (0x7F >> more)]) + rest, 'big'), 7 * (more + 1), place + 1 + more
