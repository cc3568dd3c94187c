"""The page that `gantool serve` answers with, in real Chromium, against the real server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gantool.runtime.generator import Generator
from helpers.browser import MILLISECONDS, chromium
from helpers.serving import graph_of, serving

pytest.importorskip("starlette")


def test_the_page_shows_the_images_of_the_server(tmp_path: Path) -> None:
    graphs = [graph_of(name, tmp_path) for name in ("fp32", "conditional")]
    with (
        serving(*graphs, token="sesame") as served,
        chromium() as browser,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.set_default_timeout(MILLISECONDS)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"http://127.0.0.1:{served.port}/?model=conditional")
        page.fill("#token-field", "sesame")
        page.press("#token-field", "Enter")
        page.wait_for_selector("body.ready")
        with Generator.load(graphs[1], "cpu") as generator:
            expected = generator.images(range(40))
        made = page.evaluate("async (seeds) => Array.from(await gantool.images(seeds))", list(range(40)))
        np.testing.assert_array_equal(np.array(made, np.uint8).reshape(expected.shape), expected)
        assert problems == []
