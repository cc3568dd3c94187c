"""The marks of what the page of a generator saves, in real Chromium: `gantool authenticate` takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from field.cases import gantool
from gantool.runtime.artifacts.sidecar import sha256
from gantool.runtime.provenance.read import read_mark
from gantool.runtime.provenance.record import Record
from gantool.runtime.provenance.xmp import SOURCE_TYPE, packet
from helpers.browser import chromium
from helpers.generator_page import opened, page_of, saved


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def record_of(path: Path) -> Record:
    mark = read_mark(path)
    assert mark
    assert mark.record
    assert mark.source_type == SOURCE_TYPE
    return mark.record


def verdict(path: Path, graph: Path) -> str:
    """Return what `gantool authenticate` says."""
    answer = gantool(
        ["authenticate", str(path), "-e", str(graph), "--provider", "cpu", "--json"], path.parent
    )
    (found,) = json.loads(answer.out)
    return str(found["verdict"])


@pytest.mark.parametrize("kind", ["conditional", "sprites", "fp16", "deep"])
def test_a_png_is_authentic(kind: str, browser: Browser, tmp_path: Path) -> None:
    html, graph = page_of(kind)
    with opened(browser, html) as page:
        page.click("#seed-3 canvas")
        (tmp_path / "seed0003.png").write_bytes(saved(page, "#save"))
    record = record_of(tmp_path / "seed0003.png")
    assert (record.graph, record.engine) == (sha256(graph), "ONNX Runtime Web")
    assert (record.seed, record.truncation, record.precision) == (
        "3",
        1,
        "fp16" if kind == "fp16" else "fp32",
    )
    text = json.dumps(record.to_json(), separators=(",", ":"))
    assert packet(text).encode() in (tmp_path / "seed0003.png").read_bytes()
    assert verdict(tmp_path / "seed0003.png", graph) in ("authentic", "close")


def test_sliders_and_mixes_are_in_the_mark(browser: Browser, tmp_path: Path) -> None:
    html, graph = page_of("conditional")
    png = tmp_path / "x.png"
    with opened(browser, f"{html.as_uri()}#seeds=3*0.7+9*0.3&trunc=0.7&class=2", width=1200) as page:
        page.click("button[title='Seed 3*0.7+9*0.3']")
        png.write_bytes(saved(page, "#save"))
        record = record_of(png)
        assert (record.seed, record.truncation, record.label, record.z) == ("3*0.7+9*0.3", 0.7, 2, None)
        assert verdict(png, graph) in ("authentic", "close")
        page.get_by_label("smile").fill("-2")
        expected = page.evaluate("Array.from(gantool.latents([{terms: [[3, 0.7], [9, 0.3]]}]))")
        png.write_bytes(saved(page, "#save"))
    record = record_of(png)
    assert record.seed == "3*0.7+9*0.3"
    np.testing.assert_array_equal(record.z, np.array(expected, np.float32))
    assert verdict(png, graph) in ("authentic", "close")


def test_a_gif_lists_its_seeds(browser: Browser, tmp_path: Path) -> None:
    html, graph = page_of("sprites")
    with opened(browser, f"{html.as_uri()}#seeds=3,9,5&trunc=0.5") as page:
        page.click("#open-walk")
        page.fill("#walk-frames", "2")
        page.press("#walk-frames", "Tab")
        (tmp_path / "walk.gif").write_bytes(saved(page, "#walk-gif"))
        page.fill("#walk-seeds", ",".join(map(str, range(0, 300, 2))))
        page.fill("#walk-frames", "1")
        page.press("#walk-frames", "Tab")
        expect(page.locator("#walk-place")).not_to_have_attribute("max", "6")
        (tmp_path / "long.gif").write_bytes(saved(page, "#walk-gif"))
    record = record_of(tmp_path / "walk.gif")
    assert (record.seeds, record.truncation, record.background) == ("3,9,5", 0.5, "white")
    assert verdict(tmp_path / "walk.gif", graph) == "several"
    seeds = record_of(tmp_path / "long.gif").seeds
    assert seeds
    assert len(seeds) == 200
    assert seeds.endswith(" ...")
