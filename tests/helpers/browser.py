"""Pages in Debian's Chromium, by Playwright's driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from helpers.commands import needed

MILLISECONDS = 120_000  # for a browser on a busy machine


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser."""
    path = needed("chromium")
    expect.set_options(timeout=MILLISECONDS)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])  # CI runs as root
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, file: Path, width: int = 800, root: Path | None = None, **settings: Any
) -> Iterator[Page]:
    """Open a file. A page that asks anyone for anything but files in `root`, or logs an error, fails the test."""
    own = (root or file).as_uri()
    with browser.new_context(viewport={"width": width, "height": 700}, **settings) as context:
        page = context.new_page()
        page.set_default_timeout(MILLISECONDS)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: problems.append(f"asks {request.url}"))
        page.goto(file.as_uri())
        yield page
        assert [each for each in problems if not each.startswith((f"asks {own}", "asks data:"))] == []


def overflows(page: Page) -> bool:
    """Return whether a page is wider than its window."""
    wider: bool = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return wider
