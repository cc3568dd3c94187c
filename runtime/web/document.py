"""One HTML file that needs nothing else: styles, scripts and pictures are inside, and it asks no server."""

from __future__ import annotations

import base64
import html
from pathlib import Path

HERE = Path(__file__).parent
# What the browser may load: what is inside. A page whose text came from a foreign file cannot send anything away.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; media-src blob:; "
    "script-src 'unsafe-inline' blob: 'wasm-unsafe-eval'; connect-src data: blob:; worker-src blob:; "
    "base-uri 'none'; form-action 'none'"
)


def document(title: str, body: str, *, styles: str = "", scripts: str = "", policy: str = POLICY) -> str:
    """Return an HTML document. `title` is text; `body`, `styles` and `scripts` stand as they are.

    The look of all of gantool's pages, style.css, comes first: colours for dark and light, type, tables, figures.
    """
    look = (HERE / "style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{look}{styles}</style>\n{body}\n{scripts}</html>\n"
    )


def data_uri(content: bytes, media_type: str) -> str:
    """Return bytes as an address that holds them, as in src="data:image/png;base64,…"."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
