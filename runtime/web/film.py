"""A film in a page: frames that a slider goes through and a button plays. Without scripts, the last one shows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gantool.runtime.web.document import HERE, data_uri
from gantool.runtime.web.text import escape

LOSSLESS, MOST = 256, 512  # pixels a side: frames up to these are lossless, larger ones are reduced to these
QUALITY = 90  # of a frame that is not lossless: 100 kB


@dataclass(frozen=True)
class Frame:
    """One image of a film."""

    path: Path  # of the image
    name: str  # as "24 kimg"
    place: float  # on the x axis of the charts of the page, where a line shows it


def film(frames: Sequence[Frame], shows: str) -> str:
    """Return the frames with the slider. `shows` is what they are, for those who see no picture."""
    last = len(frames) - 1
    others = f", the last of {len(frames)} images: JavaScript shows the others" if last else ""
    pictures = "".join(
        f'<img class="pixels" src="{_frame(frame.path)}" alt="{escape(f"{shows}, {frame.name}")}" '
        f'data-name="{escape(frame.name)}" data-place="{frame.place:g}"{"" if at == last else " hidden"}>\n'
        for at, frame in enumerate(frames)
    )
    return (
        f'<figure class="film">{pictures}<div class="controls" hidden>'
        '<button type="button">Play</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" step="1" aria-label="{escape(shows)}">'
        f"<output>{escape(frames[last].name)}</output></div>"
        f"<figcaption>{escape(frames[last].name)}{others}</figcaption></figure>"
    )


def script() -> str:
    """Return the JavaScript that moves the slider."""
    return (HERE / "film.js").read_text(encoding="utf-8")


def _frame(path: Path) -> str:
    """Return an image as WebP: lossless where it is small."""
    file = io.BytesIO()
    with Image.open(path) as image:
        image.load()
        longest = max(image.size)
        shown = image.reduce(-(-longest // MOST)) if longest > MOST else image
        shown = shown.convert("RGBA" if "A" in shown.mode else "RGB")
        small = longest <= LOSSLESS
        shown.save(file, "WEBP", lossless=small, quality=80 if small else QUALITY, method=4)
    return data_uri(file.getvalue(), "image/webp")
