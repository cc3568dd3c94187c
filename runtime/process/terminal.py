"""What may reach a terminal: texts in files and file names come from anywhere, and may hold escape sequences."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, cast


def printable(text: str, keep: str = "") -> str:
    """Replace what could move the cursor, change colours or reverse the text direction, except `keep`."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else "?" for letter in text)


def short(text: object, most: int = 80) -> str:
    """Return the start of what a file says, for a message: a name in a file may have a million letters."""
    letters = str(text)
    return printable(letters if len(letters) <= most else f"{letters[:most]} ...")


def reason_of(error: Exception, most: int = 200) -> str:
    """Return in a line what a library says of a damaged file, which may quote the whole of it."""
    return short(f"{type(error).__name__}: {' '.join(str(error)[: 4 * most].split())}", most)


def listed(names: Iterable[object], most: int = 12) -> str:
    """Return the first of some names that a file holds, each as `short` has it."""
    texts = [short(name) for name in names]
    return ", ".join(texts[:most]) + (" ..." if len(texts) > most else "")


def sides(shape: Sequence[object]) -> str:
    """Return the sides of a tensor, some of which may be names: "N, 3, 64, 64"."""
    return listed(shape, 8)


@contextmanager
def guarded() -> Iterator[None]:
    """Pass everything written to `sys.stdout` and `sys.stderr` through `printable`; line breaks and tabs stay.

    A character that their encoding lacks becomes a question mark: a "×" does not fail a command.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = guards = _guard(sys.stdout), _guard(sys.stderr)
    try:
        yield
    finally:  # typer replaces them when a pipe breaks
        if sys.stdout is guards[0]:
            sys.stdout = before[0]
        if sys.stderr is guards[1]:
            sys.stderr = before[1]


def bare(stream: TextIO) -> TextIO:
    """Return the stream behind a guarded one, for gantool's own progress bar."""
    return cast("TextIO", getattr(stream, "bare", stream))


class _Guarded:
    """A text stream that passes on printable text only."""

    def __init__(self, stream: TextIO) -> None:
        self.bare = stream

    def write(self, text: str) -> int:
        return self.bare.write(printable(text, "\n\t"))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)


def _guard(stream: TextIO) -> TextIO:
    if stream is None:  # closed, as a daemon does
        return stream
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    return cast("TextIO", _Guarded(stream))
