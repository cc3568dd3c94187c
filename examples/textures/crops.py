"""Cut a photo of a texture into crops to train on, and tile generated images to look for seams. See README.md.

python crops.py cut gravel.png crops             # 2,000 crops of 32×32 pixels
python crops.py tile images/seed0003.png         # 8×8 of an image: tiled.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE, COUNT = 32, 2000
SHRINK = 2  # so that a crop has a dozen stones


def tiling(crop: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """Return a crop whose edges of an axis meet: near them it turns into itself, moved by half of its length.

    Without it, all training images have a seam, and the generator learns to make one. The sum of two parts that
    have nothing to do with each other is scaled to keep the contrast.
    """
    away = 1 - np.abs(np.linspace(-1, 1, SIDE))  # 0 at the edges, 1 in the middle
    share = np.clip(2 * away, 0, 1).reshape(-1, *(1,) * (crop.ndim - 1 - axis))
    mean = crop.mean((0, 1))
    moved = np.roll(crop, SIDE // 2, axis)
    mixed = share * (crop - mean) + (1 - share) * (moved - mean)
    levels: NDArray[np.float64] = np.clip(mean + mixed / np.hypot(share, 1 - share), 0, 255)
    return levels.astype(np.uint8)


def cut(photo: Path, out: Path, count: int = COUNT) -> None:
    """Write crops that tile. Gravel looks alike from all sides, so each is turned at random."""
    pixels = np.asarray(Image.open(photo).reduce(SHRINK))
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        top, left = (int(rng.integers(length - SIDE + 1)) for length in pixels.shape[:2])
        crop = np.rot90(pixels[top : top + SIDE, left : left + SIDE], int(rng.integers(4)))
        Image.fromarray(tiling(tiling(crop, 0), 1)).save(out / f"{number:04d}.png")


def roughness(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the mean difference of neighbours across the edges of a tile, [H, W], and inside it."""
    levels = pixels.astype(float)
    # the last of each axis is the seam
    steps = [np.abs(np.roll(levels, -1, axis) - levels).mean(1 - axis) for axis in (0, 1)]
    return float(np.mean([each[-1] for each in steps])), float(np.mean([each[:-1] for each in steps]))


if __name__ == "__main__":
    command, source, *rest = sys.argv[1:]
    if command == "cut":
        cut(Path(source), Path(rest[0]))
    else:
        tile = np.asarray(Image.open(source).convert("L"))
        Image.fromarray(np.tile(tile, (8, 8))).save("tiled.png")
        print("neighbours differ by {:.1f} levels across the seam, by {:.1f} inside".format(*roughness(tile)))
