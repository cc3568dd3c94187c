"""The texts that the code can print, found in its source."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("src/gantool/__main__.py", "runtime", "models", "train", "export")
GAP = "…"  # a value that is filled in


@cache
def texts() -> tuple[str, ...]:
    """Return every string of the source, adjacent ones joined, with … for values, and flags as they are printed."""
    files = (path for room in ROOMS for path in [ROOT / room, *(ROOT / room).rglob("*.py")] if path.is_file())
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files)
    return tuple(_printed(text) for tree in trees for node in ast.walk(tree) if (text := _text(node)))


def unknown_parts(message: str) -> list[str]:
    """Return the parts of a message, between its gaps and of two words or more, that no text has.

    A text may be put together from several ones, so each part is looked for alone.
    """
    parts = (part.strip(" ;:,.()") for part in message.split(GAP))
    return [part for part in parts if " " in part and not any(part in text for text in texts())]


def _text(node: ast.AST) -> str:
    match node:
        case ast.JoinedStr(values=values):
            return "".join(_text(value) or GAP for value in values)
        case ast.Constant(value=str(value)):
            return value
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return "".join(_text(side) or GAP for side in (left, right))
        case _:
            return ""


def _printed(text: str) -> str:
    return re.sub(r"`([a-z]\w*)`", lambda found: f"--{found[1].replace('_', '-')}", text)
