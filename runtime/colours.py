"""Parse the background colour of transparent images. It needs neither NumPy nor Pillow."""

from __future__ import annotations

import re

from gantool.runtime.errors import UsageError

Colour = tuple[int, int, int]
EXPECTED = "give white, black or a colour as #rrggbb"


def colour(text: str) -> Colour:
    """Parse white, black or #rrggbb into red, green and blue, 0 to 255. Raises UsageError for anything else."""
    if problem := not_a_colour(text):
        raise UsageError(f"`background` {text}: {problem}")
    if text in ("white", "black"):
        return (255, 255, 255) if text == "white" else (0, 0, 0)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def not_a_colour(text: str) -> str:
    """Return advice if a text is not white, black or #rrggbb, else ""."""
    return "" if text in ("white", "black") or re.fullmatch("#[0-9a-fA-F]{6}", text) else EXPECTED
