"""The colour that transparent images are laid on. Needs neither NumPy nor Pillow."""

from __future__ import annotations

import re

from gantool.runtime.errors import UsageError

Colour = tuple[int, int, int]
EXPECTED = "give white, black or a colour as #rrggbb"


def colour(text: str) -> Colour:
    """Read white, black or #rrggbb. Raises UsageError for anything else."""
    if problem := not_a_colour(text):
        raise UsageError(f"`background` {text}: {problem}")
    if text in ("white", "black"):
        return (255, 255, 255) if text == "white" else (0, 0, 0)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def not_a_colour(text: str) -> str:
    """Check for white, black or #rrggbb."""
    return "" if text in ("white", "black") or re.fullmatch("#[0-9a-fA-F]{6}", text) else EXPECTED
