"""What one core encodes, and what a hundred GPUs would need of it: for scale.py."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gantool.runtime.outputs.encoding import Encoding
from gantool.runtime.spec import Images

ENCODINGS = (Encoding(), Encoding(level=6), Encoding("jpg"), Encoding("webp"))
SIDES = (64, 256, 1024)
GPUS = 100
ASSUMED = (10_000, 1_000, 100)  # images/s of a GPU, of each side


@dataclass(frozen=True)
class Encoder:
    """What one core encodes."""

    name: str
    side: int  # of an image, in pixels
    images: float  # a second
    size: float  # bytes of a file


def measured_encoders() -> Iterator[Encoder]:
    """Yield what this core encodes, of RGB images that are smooth with some noise."""
    for encoding in ENCODINGS:
        for side in SIDES:
            image, made, start = picture(side), 0, time.process_time()
            while (spent := time.process_time() - start) < 0.4:
                data, made = encoding.encode(image), made + 1
            name = "png, --level 6" if encoding.level else encoding.format
            yield Encoder(name, side, made / spent, len(data))


def picture(side: int) -> Images:
    """Return an image, uint8 [side, side, 3]: shapes of an eighth of its side, and noise of 2 levels."""
    random = np.random.RandomState(0)
    small = Image.fromarray(random.randint(0, 256, (8, 8, 3)).astype(np.uint8))
    smooth = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)).astype(np.float64)
    return np.clip(smooth + random.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)


def table(encoders: Sequence[Encoder]) -> list[str]:
    """Return the lines of a table of encoders, by sides."""
    lines = [
        "| | " + " | ".join(f"{side}×{side}" for side in SIDES) + " |",
        "| --- |" + " --- |" * len(SIDES),
    ]
    for name in dict.fromkeys(each.name for each in encoders):
        row = [f"{e.images:,.0f}/s, {e.size / 1000:,.1f} kB" for e in encoders if e.name == name]
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    return lines


def paper(encoders: Sequence[Encoder]) -> list[str]:
    """Return what a hundred GPUs need, computed from the encoders."""
    lines = [
        "## A hundred GPUs, on paper",
        "",
        f"If each of {GPUS} GPUs makes *r* images/s, encoders need {GPUS}·*r* / (images/s of a core) cores, and",
        f"the disk {GPUS}·*r*·(bytes of a file) a second. Ray moves each image as pixels first:",
        f"{GPUS}·*r*·3·side² bytes a second. The rates *r* are assumptions, not measurements.",
        "",
        "| image | *r* | encoder | cores for encoders | written | through Ray's object stores |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for side, assumed in zip(SIDES, ASSUMED, strict=True):
        for each in (e for e in encoders if e.side == side and e.name in ("png", "jpg")):
            all_images = GPUS * assumed
            lines.append(
                f"| {side}×{side} RGB | {assumed:,}/s | {each.name} | {all_images / each.images:,.0f} | "
                f"{all_images * each.size / 1e9:.1f} GB/s | {all_images * 3 * side**2 / 1e9:.1f} GB/s |"
            )
    return lines
