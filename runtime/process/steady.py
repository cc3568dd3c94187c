"""A stderr whose failure does not end long work: its reader may exit, its terminal close, its disk be full."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from gantool.runtime.process.terminal import bare

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)  # permanent: the other end is closed


class _Steady:
    """Writes to a text stream while that works, and drops the rest."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def bare(self) -> TextIO:
        """The stream behind a guarded one, as steady as this one."""
        return cast(TextIO, _Steady(bare(self.stream)))

    def write(self, text: str) -> int:
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            name = self.stream.encoding or "ascii"
            self.write(text.encode(name, "backslashreplace").decode(name))
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def close(self) -> None:
        """Drop what could not be written; Python would exit with 120 because of it."""
        try:
            self.stream.flush()
        except (OSError, ValueError):
            self._to_nowhere()

    def _give_up(self, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno in _GONE:  # a full disk may have room later
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def steady_stderr() -> Iterator[None]:
    """Keep a failing stderr from ending the work inside: text that cannot be written is dropped."""
    before = sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        steady = _Steady(before or nowhere)  # it is None where the descriptor was closed
        sys.stderr = cast(TextIO, steady)
        try:
            yield
        finally:
            sys.stderr = before
            steady.close()
