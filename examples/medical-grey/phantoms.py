"""Draw a set of head phantoms of 12 bits, as a scanner would save them. See README.md.

python phantoms.py phantoms        # 2,000 grey PNG files of 32×32 pixels and 16 bits, of which 12 are used
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE, COUNT = 32, 2000
WHITE = 4095
# level, half axes, centre and angle of each ellipse; levels add up. The idea is that of Shepp and Logan, 1974.
HEAD = (
    (3200, 0.72, 0.92, 0.0, 0.0, 0),  # skull
    (-2100, 0.66, 0.86, 0.0, 0.0, 0),  # brain inside it
    (-500, 0.12, 0.32, 0.22, 0.0, -18),  # ventricles
    (-500, 0.14, 0.36, -0.22, 0.0, 18),
    (350, 0.20, 0.24, 0.0, -0.4, 0),
    (250, 0.06, 0.06, 0.0, 0.1, 0),
)
LESION = (900, 0.10, 0.08)


def ellipse(width: float, height: float, x: float, y: float, degrees: float) -> NDArray[np.float64]:
    """Return how much of each pixel lies in an ellipse, [H, W]; the image spans -1 to 1."""
    down, right = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    turn = np.radians(degrees)
    across = (right - x) * np.cos(turn) + (down - y) * np.sin(turn)
    along = (down - y) * np.cos(turn) - (right - x) * np.sin(turn)
    distance = np.hypot(across / width, along / height) - 1
    covered: NDArray[np.float64] = np.clip(0.5 - distance * min(width, height) * SIDE / 2, 0, 1)
    return covered


def phantom(seed: int) -> NDArray[np.uint16]:
    """Return a head, [H, W]: sizes, places and levels vary, and one in two has a lesion."""
    rng = np.random.default_rng(seed)
    levels = np.zeros((SIDE, SIDE))
    tilt, scale = rng.normal(0, 6), rng.normal(0.95, 0.03)
    for level, width, height, x, y, degrees in HEAD:
        width, height = scale * np.array((width, height)) * rng.normal(1, 0.02, 2)
        x, y = scale * np.array((x, y)) + rng.normal(0, 0.01, 2)
        levels += level * rng.normal(1, 0.05) * ellipse(width, height, x, y, degrees + tilt)
    if rng.random() < 0.5:
        level, width, height = LESION
        x, y = rng.uniform(-0.35, 0.35, 2)
        levels += level * ellipse(width, height, x, y, rng.uniform(0, 180))
    levels += rng.normal(0, 25, levels.shape)  # of the detector
    return np.clip(levels.round(), 0, WHITE).astype(np.uint16)


def write(out: Path, count: int = COUNT) -> None:
    """Write phantoms to a new folder."""
    out.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(phantom(number)).save(out / f"{number:04d}.png")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
