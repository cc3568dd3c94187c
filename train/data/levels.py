"""The levels of 16 bits that become black and white: auto, or LOW-HIGH. It needs neither NumPy nor Pillow."""

from __future__ import annotations

import re

AUTO = "auto"  # the darkest and the brightest level of the set
WHOLE = (0, 65535)


def not_levels(text: str) -> str:
    """Return advice if a text is neither auto nor two levels, else ""."""
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text, re.ASCII)
    if text == AUTO or (match and int(match[1]) < int(match[2]) <= WHOLE[1]):
        return ""
    return "give auto, or the levels of black and white, as in 0-65535"


def levels_text(low: int, high: int) -> str:
    """Return two levels as the flag takes them; white is brighter than black, even of one level."""
    black = min(low, WHOLE[1] - 1)
    return f"{black}-{max(high, black + 1)}"


def bounds(text: str) -> tuple[int, int]:
    """Return the levels of black and white of a text that `not_levels` accepts; for auto all of them."""
    if text == AUTO:
        return WHOLE
    low, high = map(int, text.split("-"))
    return low, high
