"""Read the header of a safetensors file and check its size, without the library."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from gantool.runtime.errors import GantoolError
from gantool.runtime.foreign import parse_json
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import short

MAX_HEADER = 100 << 20  # bytes; safetensors itself allows no more
_SIDES, _LARGEST = 64, 2**63  # of a shape, so that no product of sides takes long


def checkpoint_metadata(path: Path) -> Metadata:
    """Return the metadata of a checkpoint. Raises GantoolError if it is damaged."""
    return metadata_in(path, safetensors_header(path) or {})


def safetensors_header(path: Path) -> dict[str, Any] | None:
    """Return the JSON header of a safetensors file; None for another kind of file.

    Raises GantoolError if the file is damaged.
    """
    if not path.is_file():
        return None  # `identify` reports a missing file
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if file.read(1) != b"{" or not 2 <= size <= min(MAX_HEADER, path.stat().st_size - 8):
            return None
        file.seek(8)
        text = file.read(size)
    try:
        header = parse_json(text)
        ends = [_end(name, entry) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, AttributeError) as error:
        reason = str(error)[:200]
        raise GantoolError(f"{path} is a damaged safetensors file ({reason}): copy it again") from error
    expected = 8 + size + max(ends, default=0)
    if expected != path.stat().st_size:
        raise GantoolError(
            f"{path} has {path.stat().st_size} bytes, its header says {expected}: copy it again"
        )
    return dict(header)


def metadata_in(path: Path, header: dict[str, Any]) -> Metadata:
    """Remove the metadata from the header of a checkpoint, and return them."""
    texts = header.pop("__metadata__", {})
    if not isinstance(texts, dict) or not isinstance(text := texts.get("gantool", "{}"), str):
        raise GantoolError(f"{path} is a damaged checkpoint ({short(texts)}): copy it again")
    return Metadata.parse(text, path)


def _end(name: str, entry: Any) -> int:
    """Return the offset at which the data of a tensor ends. Raises ValueError for an invalid entry."""
    match entry:
        case {"dtype": str(), "shape": list() as shape, "data_offsets": [int(begin), int(end)]} if (
            len(shape) <= _SIDES
            and all(type(side) is int and 0 <= side < _LARGEST for side in shape)
            and 0 <= begin <= end < _LARGEST
        ):
            if math.prod(shape) <= 8 * (end - begin):  # a value has at least one bit
                return end
    raise ValueError(f"{short(name)} is {short(entry)}")
