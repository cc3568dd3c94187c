"""Text in a page: what a file contains is shown, never interpreted."""

from __future__ import annotations

import html

from gantool.runtime.process.terminal import printable


def escape(text: object) -> str:
    """Return text for the content or an attribute of an element. Unprintable characters become question marks."""
    return html.escape(printable(str(text)))
