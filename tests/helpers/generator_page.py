"""The page of a generator in Chromium, and ONNX Runtime for browsers from npm."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from gantool.export.packaging.web_runtime import NAME, VERSION
from helpers.browser import MILLISECONDS, needed
from helpers.once import once


@contextmanager
def opened(browser: Browser, address: Path | str, width: int = 800, height: int = 700) -> Iterator[Page]:
    """Open a page and wait for its engine. A page that asks any server, or logs an error, fails the test."""
    url = address if isinstance(address, str) else address.as_uri()
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        page = context.new_page()
        page.set_default_timeout(MILLISECONDS)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        page.on(
            "request",
            lambda request: None if _inside(request.url, url) else problems.append(f"asks {request.url}"),
        )
        page.goto(url)
        page.wait_for_selector("body.ready")
        yield page
        assert problems == []


def _inside(asked: str, page: str) -> bool:
    """Whether an address is the page itself, or something made in it."""
    return asked.startswith(("blob:", "data:")) or asked == page.split("#")[0]


def npm_package() -> Path:
    """Return npm's package of ONNX Runtime for browsers, fetched once for all tests."""

    def fetch(folder: Path) -> None:
        folder.mkdir()
        subprocess.run([needed("npm"), "pack", f"{NAME}@{VERSION}", "--silent"], cwd=folder, check=True)

    return once("npm", fetch) / f"{NAME}-{VERSION}.tgz"
