"""Recognize files by their first bytes, whatever their names."""

from __future__ import annotations

import re

START = 512  # bytes that are needed to recognize a file

# first bytes of the image formats that gantool reads; the last two are BigTIFF, with 64-bit offsets
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Files that users give instead of images: first bytes -> what the file is, and what the user can do.
_OTHERS = {
    rb"version https://git-lfs": "is a Git LFS pointer, not the file itself: run git lfs pull",
    rb"7z\xbc\xaf\x27\x1c": "is a 7z archive: unpack it, and give the folder",
    rb"Rar!": "is a RAR archive: unpack it, and give the folder",
    rb"\x1f\x8b": "is compressed by gzip: unpack it (tar xf, or gunzip)",
    rb"BZh": "is compressed by bzip2: unpack it (tar xf)",
    rb"\xfd7zXZ": "is compressed by xz: unpack it (tar xf)",
    rb"\x28\xb5\x2f\xfd": "is compressed by Zstandard: unpack it (tar xf)",
    rb"PAR1": "is a Parquet file: write its images into a folder",
    rb"(?i)\s*<(!doctype )?html": "is a web page: was the download an error page?",
    rb"(?s)....ftyp(hei|hev|mif1|msf1)": "is a HEIC image: convert it to PNG or JPEG",
    rb"(?s)....ftypavi": "is an AVIF image: convert it to PNG or JPEG",
    rb"(?s)....ftyp": "is a video: write its frames as PNG (ffmpeg -i FILE %05d.png)",
    rb"\xff\x0a|\0\0\0\x0cJXL ": "is a JPEG XL image: convert it to PNG or JPEG",
    rb"\0\0\0\x0cjP  ": "is a JPEG 2000 image: convert it to PNG or JPEG",
    rb"8BPS": "is a Photoshop file: convert it to PNG or JPEG",
    rb"%PDF": "is a PDF: convert its pages to PNG",
    rb"(?s)(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg": "is an SVG: render it to PNG",
    rb"P[1-7]\s": "is a PNM image: convert it to PNG or JPEG",
}


def looks_like_image(start: bytes) -> bool:
    """Return whether a file with these first 12 bytes is an image that gantool reads."""
    return start.startswith(_IMAGES) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")


def what_else(start: bytes) -> str | None:
    """Return what a file with these first START bytes is, as the rest of a message, or None if it is not known."""
    if not start:
        return "is empty: copy or download it again"
    if not any(start):
        return "holds nothing but zeros: copy or download it again"
    return next((what for begin, what in _OTHERS.items() if re.match(begin, start)), None)
