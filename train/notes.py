"""Log notes on images and labels. A line that begins with "warning: " is a warning."""

from __future__ import annotations

import logging
from collections.abc import Iterable

WARNING = "warning: "


def log_notes(log: logging.Logger, lines: Iterable[str]) -> None:
    """Log each line, at WARNING or INFO."""
    for line in lines:
        log.log(logging.WARNING if line.startswith(WARNING) else logging.INFO, "%s", line)
