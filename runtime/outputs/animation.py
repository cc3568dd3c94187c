"""Animations in constant memory: GIF, WebP and PNG. Pillow encodes each frame, and this file joins them.

Pillow can join frames too, but keeps all of them in memory. Every frame is a whole image.

GIF    a palette of 256 colours for each frame, no transparency
WebP   lossless
PNG    APNG, lossless

A film has its mark, an XMP packet, where its format keeps such a packet.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from PIL import Image

from gantool.runtime.provenance.embed import png_chunk
from gantool.runtime.provenance.films import WEBP_FLAG, gif_extension
from gantool.runtime.spec import Images


@dataclass(frozen=True)
class Film:
    """The form of an animation."""

    height: int
    width: int
    channels: int  # 1, 3 or 4
    fps: float  # frames a second
    frames: int
    background: str | None = None  # colour that transparent images lie on
    packet: bytes | None = None  # XMP with the mark of the film

    @property
    def size(self) -> str:
        """The size of a frame for messages, as "64×64×3": height, width, channels."""
        return f"{self.height}×{self.width}×{self.channels}"


class Joiner(Protocol):
    """Writes the frames of a film to a file, one after another."""

    def add(self, frame: Images) -> None:
        """Write the next frame, uint8 [H, W, C]."""

    def close(self) -> None:
        """Write the end of the file."""


class Clock:
    """The duration of each frame in whole units. Rounding errors do not add up."""

    def __init__(self, fps: float, units: int) -> None:
        """`units`: in a second."""
        self._unit, self._number = units / fps, 0

    def tick(self) -> int:
        """Return the duration of the next frame."""
        begin, self._number = self._number, self._number + 1
        return round(self._number * self._unit) - round(begin * self._unit)


class Gif:
    """A GIF that repeats for ever."""

    def __init__(self, file: BinaryIO, film: Film) -> None:
        self._file, self._clock = file, Clock(film.fps, 100)
        file.write(b"GIF89a" + struct.pack("<HHBBB", film.width, film.height, 0x70, 0, 0))
        file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")
        if film.packet is not None:
            file.write(gif_extension(film.packet))

    def add(self, frame: Images) -> None:
        """Write a frame with a palette of its own."""
        picture = _picture(frame)
        data = _encoded(picture if picture.mode == "L" else picture.quantize(256), "GIF", interlace=0)
        size = data[10] & 7  # the palette, which follows the header of 13 bytes, has 2 << size colours
        begin = 13 + (6 << size)
        image = data[begin:-1]  # without the end of the file
        assert image[:1] == b"\x2c", "Pillow wrote an extension before the image"
        self._file.write(b"\x21\xf9\x04\x04" + struct.pack("<H", self._clock.tick()) + b"\0\0")
        self._file.write(image[:9] + bytes([0x80 | size]) + data[13:begin] + image[10:])

    def close(self) -> None:
        """Write the end."""
        self._file.write(b"\x3b")


class WebP:
    """A lossless WebP that repeats for ever."""

    def __init__(self, file: BinaryIO, film: Film) -> None:
        self._file, self._clock, self._packet = file, Clock(film.fps, 1000), film.packet
        self._sides = _three(film.width - 1) + _three(film.height - 1)
        flags = 0x02 | (0x10 if film.channels == 4 else 0)  # animation, alpha
        flags |= 0 if film.packet is None else WEBP_FLAG
        file.write(b"RIFF\0\0\0\0WEBP")  # the size follows in `close`
        file.write(_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + self._sides))
        file.write(_chunk(b"ANIM", b"\0\0\0\0" + struct.pack("<H", 0)))  # background, repeat for ever

    def add(self, frame: Images) -> None:
        """Write a frame that replaces the one before, without blending."""
        data = _encoded(_picture(frame), "WEBP", lossless=True, exact=True, method=2)
        image = next(chunk for chunk in _riff_chunks(data) if chunk[:4] == b"VP8L")
        head = _three(0) + _three(0) + self._sides + _three(self._clock.tick()) + b"\x02"
        self._file.write(_chunk(b"ANMF", head + image))

    def close(self) -> None:
        """Write the packet, and the size into the header."""
        if self._packet is not None:
            self._file.write(_chunk(b"XMP ", self._packet))
        size = self._file.tell()
        self._file.seek(4)
        self._file.write(struct.pack("<I", size - 8))


class Apng:
    """A PNG that repeats for ever; a viewer without animation shows the first frame."""

    def __init__(self, file: BinaryIO, film: Film) -> None:
        self._file, self._film, self._clock = file, film, Clock(film.fps, 1000)
        self._sequence = 0

    def add(self, frame: Images) -> None:
        """Write a frame that replaces the one before."""
        chunks = list(_png_chunks(_encoded(_picture(frame), "PNG")))
        first = self._sequence == 0
        if first:
            self._file.write(b"\x89PNG\r\n\x1a\n")
            self._write(b"IHDR", next(data for kind, data in chunks if kind == b"IHDR"))
            self._file.write(b"" if self._film.packet is None else png_chunk(self._film.packet))
            self._write(b"acTL", struct.pack(">II", self._film.frames, 0))
        place = struct.pack(">IIII", self._film.width, self._film.height, 0, 0)
        timing = struct.pack(">HHBB", self._clock.tick(), 1000, 0, 0)
        self._write(b"fcTL", self._numbered() + place + timing)
        for kind, data in chunks:
            if kind == b"IDAT":
                self._write(*((b"IDAT", data) if first else (b"fdAT", self._numbered() + data)))

    def close(self) -> None:
        """Write the end."""
        self._write(b"IEND", b"")

    def _numbered(self) -> bytes:
        self._sequence += 1
        return struct.pack(">I", self._sequence - 1)

    def _write(self, kind: bytes, data: bytes) -> None:
        self._file.write(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )


def _picture(frame: Images) -> Image.Image:
    return Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame)


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a RIFF file; its length is even."""
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _riff_chunks(data: bytes) -> Iterator[bytes]:
    """Yield the chunks of a RIFF file whole, with name and length."""
    at = 12
    while at < len(data):
        size = 8 + struct.unpack_from("<I", data, at + 4)[0]
        yield data[at : at + size + size % 2]
        at += size + size % 2


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each chunk of a PNG."""
    at = 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size
