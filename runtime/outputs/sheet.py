"""The sheet of the first images, grid.png: for looking at, or a sprite sheet with an atlas for a game engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gantool.runtime.colours import colour
from gantool.runtime.errors import UsageError
from gantool.runtime.files import atomic
from gantool.runtime.outputs.images import grid, over_checkerboard
from gantool.runtime.request import Request, parse_grid
from gantool.runtime.spec import Images, Spec

MAX_SHEET = 1 << 26  # pixels: 8,192 × 8,192


@dataclass(frozen=True)
class Sheet:
    """The places of a sheet. A sprite sheet keeps transparency; any other shows it as a checkerboard."""

    columns: int = 0  # 0: no sheet
    rows: int = 0
    spacing: int | None = None  # pixels between cells
    scale: int | None = None  # pixels of the sheet per pixel of an image and axis
    atlas: bool = False
    background: str | None = None  # of images that were laid on it

    @classmethod
    def of(cls, request: Request) -> Sheet:
        """Return the sheet of a request. Raises UsageError for options that need `grid`."""
        if request.grid is None:
            for name, value in (("spacing", request.spacing), ("scale", request.scale)):
                if value is not None:
                    raise UsageError(f"`{name}` {value} is for a sheet: add `grid` 8x8")
            if request.atlas:
                raise UsageError("`atlas` is for a sheet: add `grid` 8x8")
            return cls()
        columns, rows = parse_grid(request.grid, "8x8")
        return cls(columns, rows, request.spacing, request.scale, request.atlas, request.background)

    @property
    def cells(self) -> int:
        """The number of places."""
        return self.columns * self.rows

    def check(self, spec: Spec) -> None:
        """Raise UsageError for a sheet that is too large for memory or for image viewers."""
        width, height = self._end(self.columns, spec.width), self._end(self.rows, spec.height)
        if width * height > MAX_SHEET:
            raise UsageError(
                f"`grid` {self.columns}x{self.rows}: a sheet of {width:,}×{height:,} pixels is too large: give "
                f"fewer columns or rows{', or a smaller `scale`' if self.scale else ''}"
            )

    def save(
        self, path: Path, images: Images, names: Sequence[str], encode: Callable[[Images], bytes]
    ) -> None:
        """Write the sheet of images, [N, H, W, C], and beside it the atlas with their names if there is one.

        `encode` returns the sheet, [H, W, C], as a file.
        """
        drawn = self._drawn(images)
        with atomic(path) as part:
            part.write_bytes(encode(drawn))
        if self.atlas:
            with atomic(path.with_suffix(".json")) as part:
                text = json.dumps(self._atlas(path.name, drawn, images.shape, names), indent=1)
                part.write_text(text + "\n", encoding="utf-8")

    def _drawn(self, images: Images) -> Images:
        """Return the sheet, [H, W, C], row by row.

        Spaces and places without an image are transparent or black, or have the colour of the background.
        """
        sprites = self.atlas or (self.spacing, self.scale) != (None, None)
        if images.shape[-1] == 4 and not sprites:
            images = over_checkerboard(images)
        count = -(-len(images) // self.columns) * self.columns
        scale, spacing = self.scale or 1, self.spacing or 0
        height, width, channels = (images.shape[1] * scale, images.shape[2] * scale, images.shape[3])
        cells = np.zeros((count, height + spacing, width + spacing, channels), images.dtype)
        if self.background is not None:
            cells[:] = colour(self.background)
        cells[: len(images), :height, :width] = images.repeat(scale, 1).repeat(scale, 2)  # nearest neighbour
        drawn = grid(cells, self.columns)
        return drawn[: len(drawn) - spacing, : drawn.shape[1] - spacing]

    def _atlas(
        self, image: str, drawn: Images, shape: tuple[int, ...], names: Sequence[str]
    ) -> dict[str, Any]:
        """Return the JSON object that TexturePacker calls a hash, which game engines read."""
        scale = self.scale or 1
        size = {"w": shape[2] * scale, "h": shape[1] * scale}
        frames = {}
        for index, name in enumerate(names):
            row, column = divmod(index, self.columns)
            place = {"x": self._start(column, shape[2]), "y": self._start(row, shape[1]), **size}
            frames[name] = {
                "frame": place,
                "rotated": False,
                "trimmed": False,
                "spriteSourceSize": {"x": 0, "y": 0, **size},
                "sourceSize": size,
            }
        whole = {"w": drawn.shape[1], "h": drawn.shape[0]}
        kind = {1: f"I{8 * drawn.itemsize}", 3: "RGB888", 4: "RGBA8888"}[drawn.shape[2]]
        return {
            "frames": frames,
            "meta": {"app": "gantool", "image": image, "format": kind, "size": whole, "scale": "1"},
        }

    def _start(self, index: int, side: int) -> int:
        """Return where a column or row begins, in pixels; `side` is its width or height in an image."""
        return index * (side * (self.scale or 1) + (self.spacing or 0))

    def _end(self, count: int, side: int) -> int:
        """Return where the last of `count` columns or rows ends."""
        return max(self._start(count, side) - (self.spacing or 0), 0)
