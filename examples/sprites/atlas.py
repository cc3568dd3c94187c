"""Pack generated sprites into a sheet for a game engine, and show them on two backgrounds. See README.md.

python atlas.py images sprites      # sprites.png, sprites.json, and sprites-preview.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

COLUMNS = 12
FAINT = 16  # alpha below it cannot be seen
GRASS, NIGHT = (126, 186, 98), (38, 40, 66)


def pack(sprites: dict[str, Image.Image], name: str) -> tuple[Image.Image, dict[str, Any]]:
    """Return a sheet, RGBA, and where each sprite lies in it: the JSON hash that PixiJS and Phaser read."""
    width, height = next(iter(sprites.values())).size
    sheet = Image.new("RGBA", (COLUMNS * width, -(-len(sprites) // COLUMNS) * height))
    frames = {}
    for number, (key, sprite) in enumerate(sprites.items()):
        x, y = number % COLUMNS * width, number // COLUMNS * height
        seen = sprite.getchannel("A").point(lambda alpha: 255 * (alpha >= FAINT))
        left, top, right, bottom = seen.getbbox() or (0, 0, 1, 1)
        size = {"w": right - left, "h": bottom - top}
        frames[key] = {
            "frame": {"x": x + left, "y": y + top, **size},
            "rotated": False,
            "trimmed": True,
            "spriteSourceSize": {"x": left, "y": top, **size},
            "sourceSize": {"w": width, "h": height},
        }
        sheet.paste(sprite, (x, y))
    size = {"w": sheet.width, "h": sheet.height}
    return sheet, {
        "frames": frames,
        "meta": {"image": name, "format": "RGBA8888", "size": size, "scale": "1"},
    }


def preview(sheet: Image.Image) -> Image.Image:
    """Return a sheet on a light and a dark ground: wrong edges show as a halo on one of them."""
    ground = Image.new("RGBA", sheet.size, GRASS)
    ground.paste(NIGHT, (sheet.width // 2, 0, *sheet.size))
    return Image.alpha_composite(ground, sheet).convert("RGB")


def main(folder: Path, out: Path) -> None:
    paths = sorted(folder.glob("*/seed*.png"))  # a folder for each class
    sprites = {f"{path.parent.name}/{path.stem}": Image.open(path).convert("RGBA") for path in paths}
    sheet, frames = pack(sprites, f"{out.name}.png")
    sheet.save(f"{out}.png")
    Path(f"{out}.json").write_text(json.dumps(frames, indent=1))
    preview(sheet).save(f"{out}-preview.png")
    print(f"{len(sprites)} sprites in {out}.png and {out}.json; look at {out}-preview.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
