"""Sort the emoji of the npm package emoji-datasource-twitter into a folder for each category. See README.md.

python emoji.py package emoji
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path


def sort(package: Path, out: Path) -> int:
    """Copy the 64×64 PNG files of an unpacked package to `out`; return how many there are."""
    listed = json.loads((package / "emoji.json").read_text(encoding="utf-8"))
    count = 0
    for emoji in listed:
        folder = out / re.sub(r"\W+", "-", emoji["category"].replace("&", "and"))
        folder.mkdir(parents=True, exist_ok=True)
        for each in (emoji, *emoji.get("skin_variations", {}).values()):
            source = package / "img/twitter/64" / each["image"]
            if source.is_file():
                shutil.copy(source, folder)
                count += 1
    return count


if __name__ == "__main__":
    print(f"{sort(Path(sys.argv[1]), Path(sys.argv[2])):,} emoji")
