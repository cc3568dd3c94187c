"""Make text safe and short for a terminal: texts in files and file names may contain escape sequences."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, cast


def printable(text: str, keep: str = "") -> str:
    """Replace unprintable characters, which could move the cursor or reverse the text direction, except `keep`."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in keep else "?" for letter in text)


def short(text: object, most: int = 80) -> str:
    """Return at most `most` characters of a text from a file, printable: a name may have a million characters."""
    letters = str(text)
    return printable(letters if len(letters) <= most else f"{letters[:most]} ...")


def reason_of(error: Exception, most: int = 200) -> str:
    """Return the class and the message of a library's error in one line; the message may quote a whole file."""
    return short(f"{type(error).__name__}: {' '.join(str(error)[: 4 * most].split())}", most)


def message_of(error: Exception, most: int = 200, *, first_sentence: bool = False) -> str:
    """Return the message of a library's error in one line; its class if the message is empty.

    Without the file name of an OSError, which the caller adds.
    """
    text = str(error.strerror) if isinstance(error, OSError) and error.strerror else str(error)
    if first_sentence:
        text = (text.strip().splitlines() or [""])[0].split(". ")[0]
    return short(" ".join(text[: 4 * most].split()), most) or type(error).__name__


def listed(names: Iterable[object], most: int = 12) -> str:
    """Return the first names of a file in one line, each shortened."""
    texts = [short(name) for name in names]
    return ", ".join(texts[:most]) + (" ..." if len(texts) > most else "")


def sides(shape: Sequence[object]) -> str:
    """Return the shape of a tensor as text: "N, 3, 64, 64"; a dimension of any size without a name is "?"."""
    return listed(("?" if side is None else side for side in shape), 8)


@contextmanager
def guarded() -> Iterator[None]:
    """Pass all text for `sys.stdout` and `sys.stderr` through `printable`; keep line breaks and tabs.

    Replace a character that the encoding lacks by a question mark, so that "×" does not fail a command.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = guards = _guard(sys.stdout), _guard(sys.stderr)
    try:
        yield
    finally:  # Typer replaces the streams when a pipe breaks
        if sys.stdout is guards[0]:
            sys.stdout = before[0]
        if sys.stderr is guards[1]:
            sys.stderr = before[1]


def bare(stream: TextIO) -> TextIO:
    """Return the unguarded stream, for gantool's progress bar."""
    return cast("TextIO", getattr(stream, "bare", stream))


class _Guarded:
    """A text stream that passes on only printable text."""

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
    if stream is None:  # a daemon closed it
        return stream
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    return cast("TextIO", _Guarded(stream))
