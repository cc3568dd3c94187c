"""Notes on images and labels: lines of text that begin with "warning: " where the user should act on them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

WARNING = "warning: "


def log_notes(log: logging.Logger, lines: Iterable[str]) -> None:
    """Log each line, as a warning where it is one."""
    for line in lines:
        log.log(logging.WARNING if line.startswith(WARNING) else logging.INFO, "%s", line)
