"""Rewrite the pictures of the page in docs/page: screenshots.py GRAPH.onnx [DIRECTIONS.npz]."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

FOLDER = Path(__file__).parents[2] / "docs/page"
SIZES = {"narrow": (360, 720, "light"), "wide": (1280, 800, "dark")}
COLOURS = 128  # of a picture: they stay below 200 kB


def main(graph: Path, *directions: Path) -> None:
    """Export the page, and take its pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / graph.name.split(".")[0]
        flags = ["--directions", str(directions[0])] if directions else []
        command = [sys.executable, "-m", "gantool", "export", str(graph), "--web", *flags]
        subprocess.run([*command, "--engine", "none", "-o", str(base)], check=True)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            for name, (width, height, scheme) in SIZES.items():
                _take(browser, base.with_suffix(".html"), name, (width, height), scheme)
            browser.close()


def _take(browser: Browser, html: Path, name: str, size: tuple[int, int], scheme: str) -> None:
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.set_default_timeout(120_000)
    page.goto(f"{html.as_uri()}#seeds=3,9,11-12,23&trunc=0.8")
    page.wait_for_selector("body.ready")
    expect(page.locator(".tile.waiting")).to_have_count(0, timeout=120_000)

    def save(what: str) -> None:
        path = FOLDER / f"{what}-{name}.png"
        page.screenshot(path=path)
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(COLOURS).save(path, optimize=True)

    save("grid")
    page.click("#seed-9 canvas")
    page.wait_for_timeout(1000)
    save("large")
    page.keyboard.press("Escape")
    page.click("#open-walk")
    page.fill("#walk-place", "75")
    page.wait_for_timeout(1000)
    save("walk")
    page.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
