"""Keep long work running when stderr fails: its reader exits, its terminal closes, or its disk is full."""

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
    """Writes to a text stream, and drops text that cannot be written."""

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
        """Drop text that could not be written. Otherwise Python would exit with 120."""
        try:
            self.stream.flush()
        except (OSError, ValueError):
            self._redirect_to_null()

    def _give_up(self, error: Exception) -> None:
        # not for a full disk, which may have room later
        if isinstance(error, OSError) and error.errno in _GONE:
            self._redirect_to_null()

    def _redirect_to_null(self) -> None:
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def steady_stderr() -> Iterator[None]:
    """Drop text that cannot be written to stderr while the block runs, instead of raising an error."""
    before = sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as null:  # noqa: PTH123
        steady = _Steady(before or null)  # sys.stderr is None if the descriptor was closed
        sys.stderr = cast(TextIO, steady)
        try:
            yield
        finally:
            sys.stderr = before
            steady.close()
