"""examples/emoji and examples/sprites: from an npm package to a sheet for a game engine, transparent throughout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from conftest import run_gantool
from helpers.examples import script

CATEGORIES = ("Animals & Nature", "Flags")


def fill(package: Path) -> None:
    """Write a package like emoji-datasource-twitter: 20 discs of each category, and one with a skin variation."""
    files = package / "img/twitter/64"
    files.mkdir(parents=True)
    listed: list[dict[str, Any]] = []
    for number in range(40):
        image = Image.new("RGBA", (64, 64))
        ImageDraw.Draw(image).ellipse((8, 8, 40 + number % 16, 50), (250, 200, 5 * number, 255))
        image.save(files / f"{number}.png")
        listed.append({"category": CATEGORIES[number % 2], "image": f"{number}.png"})
    listed[0]["skin_variations"] = {"1F3FB": {"image": "1.png"}, "1F3FC": {"image": "missing.png"}}
    (package / "emoji.json").write_text(json.dumps(listed))


def seen(path: Path, least: int) -> NDArray[np.uint8]:
    """Return a sprite with all pixels cleared whose alpha is below `least`."""
    with Image.open(path) as image:
        pixels = np.asarray(image).copy()
    pixels[pixels[..., 3] < least] = 0
    return pixels


@pytest.mark.slow
def test_from_emoji_to_an_atlas(tmp_path: Path) -> None:
    fill(tmp_path / "package")
    assert script("emoji/emoji.py").sort(tmp_path / "package", tmp_path / "emoji") == 41
    flags = ("--preset", "small", "--size", "32", "--width", "4", "--conditional", "--no-autotune")
    run_gantool("train", "--data", "emoji", *flags, "--kimg", "0.3", cwd=tmp_path, check=True)
    run_gantool("export", "--engine", "none", cwd=tmp_path, check=True)
    chosen = ("--class", "all", "--seeds", "0-6", "--layout", "folders")
    run_gantool("generate", "g.onnx", *chosen, cwd=tmp_path, check=True)
    atlas = script("sprites/atlas.py")
    atlas.main(tmp_path / "images", tmp_path / "sprites")
    sheet = Image.open(tmp_path / "sprites.png")
    assert sheet.mode == "RGBA"
    content = json.loads((tmp_path / "sprites.json").read_text())
    assert content["meta"]["size"] == {"w": sheet.width, "h": sheet.height}
    assert len(content["frames"]) == 14
    for name, found in content["frames"].items():
        x, y, w, h = found["frame"].values()
        left, top, *_ = found["spriteSourceSize"].values()
        sprite = Image.new("RGBA", tuple(found["sourceSize"].values()))
        sprite.paste(sheet.crop((x, y, x + w, y + h)), (left, top))
        sprite.save(tmp_path / "again.png")
        again, expected = (
            seen(path, atlas.FAINT) for path in (tmp_path / "again.png", tmp_path / f"images/{name}.png")
        )
        np.testing.assert_array_equal(again, expected)
    with Image.open(tmp_path / "sprites-preview.png") as preview:
        assert preview.mode == "RGB"
