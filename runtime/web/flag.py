"""The flag --html of the commands that write a report."""

from __future__ import annotations

import os
from pathlib import Path

from gantool.runtime.flags import Flag


def html_flag(shows: str, group: str = "Options") -> Flag:
    """Return the flag of a report with pictures; `shows` says what is on it."""
    return Flag(
        f"also write a report, one offline HTML file: {shows}", "--html", group, "", "FILE.html", _html
    )


def _html(path: Path) -> str:
    if path.suffix.lower() not in (".html", ".htm"):
        return "give a name that ends in .html, as in report.html"
    if path.is_dir():
        return "it is a folder: give the name of a file"
    # before minutes of work; missing folders are made
    folder = next(each for each in path.absolute().parents if os.access(each, os.F_OK))
    if not folder.is_dir():
        return f"{folder} is not a folder"
    return "" if os.access(folder, os.W_OK) else f"you may not write to {folder}"
