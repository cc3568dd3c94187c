"""Write images.npy.json beside an array: the mark of all its images, then what each of them is of, one a line."""

from __future__ import annotations

import json
from pathlib import Path

from gantool.runtime.files import atomic
from gantool.runtime.items import Items
from gantool.runtime.provenance.marker import Marker


def write_marks(path: Path, items: Items, marker: Marker) -> None:
    """Write the marks of items, whole or not at all, in constant memory."""
    with atomic(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"mark": {json.dumps(marker.beside())},\n"images": [')
        for number, item in enumerate(items):
            file.write(f"{',' if number else ''}\n{json.dumps(marker.about(item))}")
        file.write("\n]}\n")
