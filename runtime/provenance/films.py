"""Where films keep their XMP: write it there, and find it again without any library.

GIF        an application extension before the first frame (XMP specification, part 3)
WebP, PNG  chunks, as in images: Pillow reads them
MP4        a box `uuid` after all others (XMP specification, part 3)
WebM       a tag XMP of the whole file: neither specification names a place
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from gantool.runtime.provenance.xmp import MAX_PACKET

WEBP_FLAG = 0x04  # of VP8X
WEBM_TAG = "XMP"
_GIF_HEAD = b"\x21\xff\x0bXMP DataXMP"
# A reader of GIF takes any byte of the packet for the length of a block, and comes out in these; the last is empty.
_GIF_TAIL = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
_MP4_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_SEGMENT, _TAGS, _TAG, _SIMPLE, _NAME, _TEXT = 0x18538067, 0x1254C367, 0x7373, 0x67C8, 0x45A3, 0x4487
_READ = 1 << 20  # bytes of a file, or of an element, that a packet is looked for in
_ELEMENTS = 10_000  # of a file


def gif_extension(packet: bytes) -> bytes:
    """Return the extension of a GIF that holds an XMP packet."""
    return _GIF_HEAD + packet + _GIF_TAIL


def mp4_box(packet: bytes) -> bytes:
    """Return the box of an MP4 that holds an XMP packet."""
    return struct.pack(">I", 24 + len(packet)) + b"uuid" + _MP4_UUID + packet


def reader(head: bytes) -> Callable[[BinaryIO], bytes | None] | None:
    """Return what finds the XMP packet in a film, from the first 12 bytes of the file; None if it is not a film.

    It returns None if there is no packet, and raises ValueError if the file is damaged.
    """
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _in_gif
    if head[4:8] == b"ftyp" and head[8:11] not in (b"avi", b"hei", b"mif"):  # AVIF and HEIC are images
        return _in_mp4
    return _in_webm if head.startswith(b"\x1a\x45\xdf\xa3") else None


def _in_gif(file: BinaryIO) -> bytes | None:
    """Find the packet among the extensions before the first frame."""
    file.seek(0)
    data = file.read(_READ)
    try:
        at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)  # after the palette
        while data[at] == 0x21:
            if data.startswith(_GIF_HEAD, at):
                start = at + len(_GIF_HEAD)
                end = data.find(_GIF_TAIL, start)
                return data[start : end if end >= 0 else None]
            at += 2
            while data[at]:
                at += 1 + data[at]
            at += 1
    except IndexError:
        raise ValueError("it is cut off") from None
    return None


def _in_mp4(file: BinaryIO) -> bytes | None:
    """Find the packet among the boxes of the file."""
    end, at = file.seek(0, 2), 0
    for _ in range(_ELEMENTS):
        if at + 8 > end:
            return None
        file.seek(at)
        head = file.read(24)
        size = int.from_bytes(head[:4], "big")
        if size == 1:  # it follows, in 8 bytes
            size = int.from_bytes(head[8:16], "big")
        elif size == 0:  # the rest of the file
            size = end - at
        if size < 8 or at + size > end:
            raise ValueError("it is cut off")
        if head[4:8] == b"uuid" and head[8:] == _MP4_UUID:
            return file.read(min(size - 24, MAX_PACKET + 1))
        at += size
    return None


def _in_webm(file: BinaryIO) -> bytes | None:
    """Find the packet among the tags of the file."""
    end = file.seek(0, 2)
    for kind, start, size in _elements(file, 0, end):
        if kind == _SEGMENT:
            for inner, begin, length in _elements(file, start, start + size):
                if inner == _TAGS and (found := _tag(file, begin, min(length, _READ))) is not None:
                    return found
    return None


def _tag(file: BinaryIO, start: int, size: int) -> bytes | None:
    """Find the packet in the element Tags."""
    for kind, begin, length in _elements(file, start, start + size):
        for inner, at, extent in _elements(file, begin, begin + length) if kind == _TAG else ():
            if inner == _SIMPLE:
                fields = {name: (place, many) for name, place, many in _elements(file, at, at + extent)}
                if (
                    _NAME in fields
                    and _TEXT in fields
                    and _content(file, *fields[_NAME]) == WEBM_TAG.encode()
                ):
                    return _content(file, *fields[_TEXT])
    return None


def _content(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(min(size, MAX_PACKET + 1))


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each EBML element (RFC 8794), where its content starts, and its size."""
    at = start
    for _ in range(_ELEMENTS):
        if at >= end:
            return
        file.seek(at)
        head = file.read(12)
        kind, first = _number(head, 0, marked=True)
        size, second = _number(head, first, marked=False)
        unknown = size == (1 << 7 * second) - 1  # of a stream: as far as its parent
        content = at + first + second
        if not unknown and content + size > end:
            raise ValueError("it is cut off")
        size = end - content if unknown else size
        yield kind, content, size
        at = content + size


def _number(data: bytes, at: int, *, marked: bool) -> tuple[int, int]:
    """Return a number of EBML and its length in bytes; `marked`: with the bit that says its length."""
    length = 9 - data[at].bit_length() if at < len(data) else 9
    if length > 8 or at + length > len(data):
        raise ValueError("it is cut off")
    number = int.from_bytes(data[at : at + length], "big")
    return (number if marked else number & ((1 << 7 * length) - 1)), length
