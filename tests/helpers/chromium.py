"""Debian's Chromium, and ONNX Runtime for browsers from npm: what tests of pages need besides Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from gantool.export.packaging.web_runtime import NAME, VERSION
from helpers.once import once

SECONDS = 120_000  # in ms: a browser on a busy machine


def needed(command: str) -> str:
    """Return the path of a command; skip the test without it, but fail in CI, where `make browser` installs it."""
    path = shutil.which(command)
    if path is None:
        message = f"needs {command}: make browser, or apt-get install {command}"
        if os.environ.get("GANTOOL_CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser once; `page` opens pages in it."""
    path = needed("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])  # CI runs as root
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, address: Path | str, width: int = 800, height: int = 700) -> Iterator[Page]:
    """Open a page and wait for its engine. A page that asks any server, or logs an error, fails the test."""
    url = address if isinstance(address, str) else address.as_uri()
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        page = context.new_page()
        page.set_default_timeout(SECONDS)
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
