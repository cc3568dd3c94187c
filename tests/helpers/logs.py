"""What library code logs, as a list of texts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logged(level: int = logging.INFO) -> Iterator[list[str]]:
    """Collect what gantool logs within, from `level` on."""
    texts: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    logger, collector = logging.getLogger("gantool"), Collector(level)
    before = logger.level
    logger.addHandler(collector)
    logger.setLevel(level)
    try:
        yield texts
    finally:
        logger.removeHandler(collector)
        logger.setLevel(before)
