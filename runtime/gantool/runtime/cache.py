"""Where gantool keeps what it can make or fetch again: it may be deleted at any time."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """Return the cache folder, which need not exist yet.

    $GANTOOL_CACHE, else $XDG_CACHE_HOME/gantool, else ~/.cache/gantool (%LOCALAPPDATA%\\gantool on Windows).
    """
    if own := os.environ.get("GANTOOL_CACHE"):
        return Path(own)
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gantool"
