"""Whether a container is whole where FFmpeg passes over damage and goes on: each kind by what its own structure says."""

import os
import struct
from pathlib import Path

import numpy as np

TS_PACKET = 188
FLV_TAGS = {8, 9, 18}
# Masters whose children are looked at: Segment, Cluster and BlockGroup.
MATROSKA_MASTERS = {b'\x18\x53\x80\x67', b'\x1f\x43\xb6\x75', b'\xa0'}
# Children of a Segment, of a Cluster and of a BlockGroup, and what may be anywhere (Void, CRC-32).
MATROSKA_KNOWN = {bytes.fromhex(name) for name in (
    'ec bf 114d9b74 1549a966 1654ae6b 1f43b675 1c53bb6b 1941a469 1043a770 1254c367 '
    'e7 a7 ab a3 a0 af 5854 a1 75a1 9b fa fb fd a4 a2 8e c8 75a2').split()}
UNKNOWN_SIZE = -1


def damage_in(path: str, format_name: str) -> str | None:
    """What is damaged in the structure of a container; None if nothing is, or nothing could tell.

    Args:
        path (str): The file.
        format_name (str): FFmpeg's name of the container.
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
    size = Path(path).stat().st_size
    with open(path, 'rb') as file:
        place = struct.unpack('>I', file.read(9)[5:])[0] + 4
        while place + 11 <= size:
            file.seek(place)
            head = file.read(11)
            length = 11 + int.from_bytes(head[1:4], 'big')
            file.seek(place + length)
            again = file.read(4)
            if head[0] & 0x1f not in FLV_TAGS or (len(again) == 4 and int.from_bytes(again, 'big') not in (0, length)):
                return f'damaged: no whole tag at byte {place:,}'
            place += length + 4
    return None


def _matroska(path: str) -> str | None:
    """Elements of unknown size are passed over: a live recording is checked as far as they begin."""
    with open(path, 'rb') as file:
        size = os.fstat(file.fileno()).st_size
        name, length = _element(file)
        if name != b'\x1a\x45\xdf\xa3':
            return None
        file.seek(length, os.SEEK_CUR)
        ends = [size]
        while True:
            place = file.tell()
            while len(ends) > 1 and place == ends[-1]:
                ends.pop()
            if place >= size:
                return None if len(ends) == 1 else f'truncated: the file ends {ends[1] - size:,} bytes before its end'
            if place > ends[-1]:
                return f'damaged: an element ends at byte {place:,}, the one around it at {ends[-1]:,}'
            name, length = _element(file)
            if length == UNKNOWN_SIZE or (len(ends) == 1 and name not in MATROSKA_MASTERS):
                return None
            if len(ends) > 1 and name not in MATROSKA_KNOWN:
                return f'damaged: no element of Matroska at byte {place:,}'
            if name in MATROSKA_MASTERS:
                ends.append(file.tell() + length)
            else:
                file.seek(length, os.SEEK_CUR)


def _element(file) -> tuple[bytes, int]:
    """Name and size of an EBML element; the file stands at its content then."""
    first = file.read(1)
    more = 8 - first[0].bit_length() if first and first[0] else 0
    name = first + file.read(more)
    first = file.read(1)
    if not first or not first[0]:
        return name, 0
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    value = int.from_bytes(bytes([first[0] & (0x7f >> more)]) + rest, 'big')
    return name, UNKNOWN_SIZE if value == (1 << 7 * (more + 1)) - 1 else value
