"""A stderr that long work outlives: its reader may end, its terminal may close, its disk may be full."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from gantool.runtime.process.terminal import bare

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)  # for good: the other end is closed


class _Steady:
    """Writes to a text stream as long as it takes text, and drops the rest."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def bare(self) -> TextIO:
        """What is behind a guarded stream, and as steady as this one."""
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
        """Drop what could not be written, at which Python would exit with 120."""
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
    """Let no report end the work inside: where stderr cannot be written to, the text is dropped."""
    before = sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        steady = _Steady(before or nowhere)  # there is none where the descriptor was closed
        sys.stderr = cast(TextIO, steady)
        try:
            yield
        finally:
            sys.stderr = before
            steady.close()
