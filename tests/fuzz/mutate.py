"""Change inputs of a structure that bytes changed at random rarely keep: JSON, and files with checksums."""

from __future__ import annotations

import json
import random
import struct
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fuzz.harness import Mutate

_DEEPEST = 1000  # levels, about Python's limit
# Values that readers trip over.
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 10, 255, 2**31, 2**63, 2**64, -(2**63), 10**400, int("9" * 4300)),
    *(
        0.5,
        -0.0,
        1e-320,
        1e308,
        float("inf"),
        float("nan"),
        "",
        "a",
        "0",
        "5",
        "\0",
        "\n\x1b[31m",
        "\ud800",
        "é" * 300,
    ),
    *([], {}, [[]], {"": None}, [0] * 50),
)


def json_values(data: bytes, most: int, seed: int) -> bytes:
    """Change a value, a key or an entry of a JSON text; now and then its bytes."""
    draw = random.Random(seed)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return _bytes(data, most)
    if draw.random() < 0.1:
        return _bytes(data, most)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        value = _changed(value, draw)
    with suppress(ValueError, RecursionError):
        text = json.dumps(value).encode()
        if draw.random() < 0.1:  # deeper than json.dumps goes
            depth = draw.choice((draw.randint(2, 150), draw.randint(_DEEPEST - 100, _DEEPEST)))
            begin, end = draw.choice(((b"[", b"]"), (b'{"a": ', b"}")))
            deep = begin * depth + b"1" + end * depth
            text = (
                text.replace(b"null", deep, 1) if b"null" in text else text[:-1] + b', "deep": ' + deep + b"}"
            )
        if len(text) <= most:
            return text
    return _bytes(data, most)


def _changed(value: Any, draw: random.Random) -> Any:
    """Return a JSON value with a change somewhere in it."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        found = dict(value)
        name = draw.choice([*found])
        match draw.randrange(8):
            case 0:
                del found[name]
            case 1:
                found[draw.choice([*found, "labels", "seed", ""])] = found[name]
            case _:
                found[name] = _changed(found[name], draw)
        return found
    if isinstance(value, list) and value and draw.random() < 0.85:
        items = list(value)
        place = draw.randrange(len(items))
        match draw.randrange(8):
            case 0:
                del items[place]
            case 1:
                items.insert(place, items[draw.randrange(len(items))])
            case _:
                items[place] = _changed(items[place], draw)
        return items
    if isinstance(value, str) and value and draw.random() < 0.5:
        place = draw.randrange(len(value))
        return value[:place] + draw.choice(("", "\0", "9", "..", "/", value, "é")) + value[place + 1 :]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and draw.random() < 0.5:
        with suppress(OverflowError):
            return draw.choice((value + 1, value - 1, -value, value * 2, float(value)))
    return draw.choice(_VALUES)


def _bytes(data: bytes, most: int) -> bytes:
    import atheris

    return bytes(atheris.Mutate(data, most))


def mended(mend: Callable[[bytes], bytes]) -> Mutate:
    """Return a mutator that changes bytes, and then mends checksums in four of five inputs."""

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        found = _bytes(data, most)
        return found if seed % 5 == 0 else mend(found)[:most]

    return mutate


def png_checksums(data: bytes) -> bytes:
    """Return a PNG with the right checksum in each of its chunks."""
    found, at = bytearray(data), 8
    while at + 12 <= len(found):
        (size,) = struct.unpack_from(">I", found, at)
        end = at + 8 + size
        if end + 4 > len(found):
            break
        struct.pack_into(">I", found, end, zlib.crc32(found[at + 4 : end]))
        at = end + 4
    return bytes(found)


def tar_checksums(data: bytes) -> bytes:
    """Return a tar with the right checksum in each block that begins like a header."""
    found = bytearray(data)
    for at in range(0, len(found) - tarfile.BLOCKSIZE + 1, tarfile.BLOCKSIZE):
        if found[at + 257 : at + 262] == b"ustar":
            found[at + 148 : at + 156] = b" " * 8
            found[at + 148 : at + 156] = b"%06o\0 " % sum(found[at : at + tarfile.BLOCKSIZE])
    return bytes(found)
