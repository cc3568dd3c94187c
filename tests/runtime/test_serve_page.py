"""The page that `gantool serve` answers with, in real Chromium, against the real server."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from field.cases import gantool
from gantool.runtime.generator import Generator
from gantool.runtime.provenance.embed import KEYWORD
from helpers.browser import MILLISECONDS, chromium
from helpers.serving import graph_of, serving

pytest.importorskip("starlette")


def test_the_page_shows_the_images_of_the_server(tmp_path: Path) -> None:
    graphs = [graph_of(name, tmp_path) for name in ("fp32", "conditional")]
    with (
        serving(*graphs, token="sesame", credit="<Æsop & Söhne>", aigc="us,7") as served,
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
        page.click("#seed-3 canvas")
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(tmp_path / "3.png")
        assert problems == []
        own = served.ask("/images/3.png?model=conditional", authorization="Bearer sesame").body
    with Image.open(tmp_path / "3.png") as saved, Image.open(io.BytesIO(own)) as image:
        assert saved.info[KEYWORD] == image.info[KEYWORD]
        assert "&lt;Æsop &amp; Söhne&gt;" in saved.info[KEYWORD]
    answer = gantool("authenticate 3.png -e conditional.onnx --json", tmp_path)
    assert json.loads(answer.out)[0]["verdict"] == "authentic", answer.err
