"""The cache folder. gantool can make or download everything in it again, so it may be deleted at any time."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path


def cache_dir() -> Path:
    """Return the cache folder, which need not exist yet.

    $GANTOOL_CACHE, else $XDG_CACHE_HOME/gantool, else ~/.cache/gantool (%LOCALAPPDATA%\\gantool on Windows). A user
    without a home folder, as in some containers, gets a folder among the temporary files.
    """
    if own := os.environ.get("GANTOOL_CACHE"):
        return Path(own)
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    if not base and os.environ.get("HOME") == "":  # Path.home() would be the root folder
        return _temporary()
    try:
        return (Path(base) if base else Path.home() / ".cache") / "gantool"
    except RuntimeError:  # neither $HOME nor an entry in passwd
        return _temporary()


@cache
def _temporary() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"gantool-{user}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == user and not folder.is_symlink():
            return folder
    return Path(tempfile.mkdtemp(prefix="gantool-"))  # another user has taken the name
