"""The page of a generator in real Chromium: its images, and what a person does with it."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from playwright.sync_api import Browser, Page, expect

from gantool.export.artifact import Graph
from gantool.export.packaging.web import write
from gantool.runtime import Generator
from gantool.runtime.errors import UsageError
from gantool.runtime.latents import latents
from gantool.runtime.outputs.images import over_colour, visible
from gantool.runtime.seeds import parse_seeds
from gantool.runtime.walk import Walk
from gantool.runtime.web.page import info, server_page
from helpers.browser import MILLISECONDS, chromium
from helpers.generator_page import opened, page_of, parts, saved

SEEDS = range(64)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def images(page: Page, seeds: list[int], like: NDArray[Any]) -> NDArray[Any]:
    """Return the images that the page makes."""
    script = "async (seeds) => Array.from(await gantool.images(seeds))"
    return np.array(page.evaluate(script, seeds), like.dtype).reshape(like.shape)


def full(page: Page) -> None:
    """Wait until every image is there."""
    expect(page.locator(".tile.waiting")).to_have_count(0, timeout=MILLISECONDS)


@pytest.mark.parametrize("kind", ["fp16", "conditional", "sprites", "deep", "int8"])
def test_images_and_png_are_those_of_onnx_runtime(kind: str, browser: Browser) -> None:
    html, graph = page_of(kind)
    with Generator.load(graph, "cpu") as generator:
        expected = generator.images(SEEDS)
    with opened(browser, html) as page:
        found = images(page, list(SEEDS), expected)
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert (found == expected).mean() >= 0.95
        full(page)
        page.focus("#grid")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator("#large-title")).to_contain_text("Seed 1")
        with Image.open(io.BytesIO(saved(page, "#save"))) as png:
            pixels = np.asarray(png)
        assert pixels.dtype == expected.dtype
        assert np.array_equal(pixels.reshape(expected.shape[1:]), found[1])


@pytest.mark.parametrize("kind", ["conditional", "fp16", "deep"])  # z is normal, truncated, uniform
def test_latents_are_those_of_numpy_bit_by_bit(kind: str, browser: Browser) -> None:
    html, graph = page_of(kind)
    with Generator.load(graph, "cpu") as generator, opened(browser, html) as page:
        seeds = [*range(1000), 2**31, 2**32 - 1]
        script = "(seeds) => Array.from(new Uint32Array(gantool.latents(seeds).buffer))"
        found = np.array(page.evaluate(script, seeds), np.uint32).view(np.float32)
        expected = generator.z(seeds)
        assert np.array_equal(found.view(np.uint32), expected.ravel().view(np.uint32))


def test_mixes_and_walks_of_the_address_are_those_of_generate(browser: Browser) -> None:
    html, graph = page_of("conditional")
    texts = ["1+2", "3*0.7+9*0.3", "3~9@2of8", "4*-1"]
    address = f"{html.as_uri()}#seeds={','.join(texts)}"
    with Generator.load(graph, "cpu") as generator, opened(browser, address, width=1200) as page:
        full(page)
        expect(page.locator("#favourites canvas")).to_have_count(len(texts))
        expect(page.locator("#favourite-seeds")).to_have_value(",".join(texts))
        for text in texts:
            page.click(f"button[title='Seed {text}']")
            with Image.open(io.BytesIO(saved(page, "#save"))) as png:
                pixels = np.asarray(png)
            assert np.abs(pixels.astype(int) - generator.images(text)[0]).max() <= 1, text
            page.keyboard.press("Escape")


def test_an_address_with_other_things(browser: Browser) -> None:
    html, _ = page_of("conditional")
    hostile = "#seeds=1,<b>&trunc=9&class=77&direction=none:2,smile:x&z=-1:3&other"
    with opened(browser, html.as_uri() + hostile) as page:
        expect(page.get_by_role("status")).to_contain_text("“<b>” is not a seed")
        expect(page.locator("#favourites li")).to_have_count(0)
        page.click("#seed-2 button")
        expect(page).to_have_url(re.compile("#seeds=2$"))  # the rest was left out
        expect(page.locator("#favourites li")).to_have_count(1)


def test_a_person_with_a_keyboard(browser: Browser) -> None:
    html, _ = page_of("conditional")
    with opened(browser, html) as page:
        full(page)
        grid = page.get_by_role("grid", name="Images by seed")
        grid.focus()
        columns = int(grid.get_attribute("aria-colcount") or 0)
        for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft"):
            page.keyboard.press(key)
        assert grid.get_attribute("aria-activedescendant") == f"seed-{columns + 1}"
        page.keyboard.press("Control+f")  # the browser's
        expect(page.locator(".favourite")).to_have_count(0)
        page.keyboard.press("F")  # with Caps Lock
        expect(page.get_by_role("gridcell", name=f"Seed {columns + 1}, favourite")).to_have_count(1)
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#large-title")).to_contain_text(f"Seed {columns + 2},")
        page.keyboard.press("f")
        page.keyboard.press("Escape")
        expect(dialog).not_to_be_visible()
        expect(page).to_have_url(re.compile(f"#seeds={columns + 1}-{columns + 2}$"))
        expect(page.locator("#favourite-seeds")).to_have_value(f"{columns + 1}-{columns + 2}")
        grid.focus()
        page.keyboard.press("Control+End")
        assert grid.get_attribute("aria-activedescendant") == f"seed-{2**32 - 1}"
        full(page)
        page.keyboard.press("Control+Home")
        assert grid.get_attribute("aria-activedescendant") == "seed-0"


def test_sliders_class_and_seed_box(browser: Browser) -> None:
    html, graph = page_of("conditional")
    with Generator.load(graph, "cpu") as generator, opened(browser, html, width=1200) as page:
        spec = generator.spec
        page.get_by_label("Truncation").fill("0.5")
        page.get_by_label("Direction 0").fill("1.5")
        page.get_by_label("smile").fill("-2")
        page.fill("#latent", "7")
        page.press("#latent", "Enter")
        page.get_by_label("Latent 7").fill("1")
        page.select_option("#class", "3")
        shift = np.zeros(spec.latent, np.float32)
        shift[[0, 1, 7]] = 1.5, -2, 1
        seeds = parse_seeds("0-7")
        expected = generator.images(z=latents(seeds, spec.latent, truncation=0.5) + shift, label=3)
        assert np.abs(images(page, list(range(8)), expected).astype(int) - expected).max() <= 1
        address = re.compile("#trunc=0.5&class=3&direction=0:1.5,smile:-2&z=7:1$")
        expect(page).to_have_url(address)
        page.fill("#favourite-seeds", "5,6,7,2")
        page.press("#favourite-seeds", "Tab")
        line = "gantool generate --engine g.onnx --seeds 5-7,2 --trunc 0.5 --class 3 --direction 0=1.5"
        note = "# without the sliders that have no flag"
        expect(page.locator("#command")).to_have_text(f"{line} --direction smile=-2  {note}")
        page.click("#clear")
        expect(page).to_have_url(address)
        with opened(browser, page.url) as again:  # a link shares them
            assert np.abs(images(again, list(range(8)), expected).astype(int) - expected).max() <= 1
        page.click("#seed-2 canvas")
        page.get_by_label("Truncation").fill("0.25")  # the sliders are in the dialog now
        large = generator.images(z=latents([2], spec.latent, truncation=0.25) + shift, label=3)[0]
        with Image.open(io.BytesIO(saved(page, "#save"))) as png:
            assert np.abs(np.asarray(png).astype(int) - large).max() <= 1
        page.keyboard.press("Escape")
        page.click("#reset")
        expected = generator.images(range(8))
        assert np.abs(images(page, list(range(8)), expected).astype(int) - expected).max() <= 1
        page.fill("#seed", "123456789")
        page.press("#seed", "Enter")
        expect(page.locator("#seed-123456789")).to_be_in_viewport()
        full(page)


def test_a_slider_that_moves_fast(browser: Browser) -> None:
    html, graph = page_of("conditional")
    move = """(input) => { for (let at = 0; at <= 500; at++) {
        input.value = at / 1000 + 0.25;
        input.dispatchEvent(new Event('input'));
    } }"""
    count = """() => {
        const write = history.replaceState;
        globalThis.writes = 0;
        history.replaceState = function (...all) {
            writes++;
            return write.apply(this, all);
        };
    }"""
    with Generator.load(graph, "cpu") as generator, opened(browser, f"{html.as_uri()}#seeds=3", 1200) as page:
        page.click("#seed-3 canvas")
        page.evaluate(count)
        page.get_by_label("Truncation").evaluate(move)
        expect(page).to_have_url(re.compile("#seeds=3&trunc=0.75$"))
        assert page.evaluate("writes") < 20  # browsers ignore or refuse more than 100 to 200 in ten seconds
        expected = np.concatenate([generator.images([3], truncation=0.75)] * 3)
        script = """() => ["#large-image", "#seed-3 canvas", "#favourites canvas"].map((name) => {
            const canvas = document.querySelector(name);
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return Array.from(data.filter((_, at) => at % 4 < 3));
        })"""
        full(page)
        page.evaluate("gantool.images([0])")  # after all that was asked for
        page.wait_for_timeout(300)
        found = np.array(page.evaluate(script)).reshape(3, *expected.shape[1:3], 3)
        assert np.abs(found - expected).max() <= 1


def test_seeds_that_generate_refuses(browser: Browser) -> None:
    html, _ = page_of("conditional")
    with opened(browser, html, width=1200) as page:
        for text, says in (
            ("0x10", "the weight of a single seed changes nothing: write 0"),
            ("+".join(map(str, range(9))), "a mix of 9 seeds: at most 8 can be mixed"),
            ("1~2@1of1000001", "is not an image of a walk"),
            (
                "+".join(f"{seed}*1.123456789" for seed in range(10, 18)) + "~9",
                "too long for the name of a file",
            ),
            ("9-1", "runs backwards: write 1-9"),
        ):
            with pytest.raises(UsageError):
                parse_seeds(text)
            page.fill("#favourite-seeds", text)
            page.press("#favourite-seeds", "Tab")
            expect(page.locator("#favourite-problem")).to_contain_text(says)
        expect(page.locator("#favourites li")).to_have_count(0)


def test_the_grid_goes_on_and_on_with_few_canvases(browser: Browser) -> None:
    html, _ = page_of("conditional")
    with opened(browser, html) as page:
        full(page)
        count = page.locator("#grid canvas").count()
        last = -1
        for _ in range(3):  # past the end of the window, twice
            page.evaluate("document.getElementById('grid').scrollBy(0, 7.9e6)")
            page.wait_for_timeout(300)
            first = int(page.locator(".tile span").first.inner_text())
            assert first > last
            last = first
        assert page.locator("#grid canvas").count() == count < 200
        assert last > 100_000
        full(page)


def test_a_walk_plays_and_is_saved(browser: Browser) -> None:
    html, graph = page_of("sprites")
    with Generator.load(graph, "cpu") as generator, opened(browser, f"{html.as_uri()}#seeds=3,9,5") as page:
        page.click("#open-walk")
        expect(page.locator("#walk-seeds")).to_have_value("3,9,5")
        page.fill("#walk-frames", "8")
        page.press("#walk-frames", "Tab")
        place = page.locator("#walk-place")
        expect(place).to_have_attribute("max", "23")
        spec = generator.spec
        z = latents([3, 9, 5], spec.latent, spec.distribution).astype(np.float64)[None]
        walk = Walk(z, None, 8, True, False)
        place.fill("11")
        expect(place).to_have_attribute("aria-valuetext", "frame 12 of 24")
        expected = generator.images(z=walk.at([(11, 0)]))[0]
        script = "(canvas) => Array.from(canvas.getContext('2d').getImageData(0, 0, 16, 24).data)"
        shown = np.array(page.locator("#walk-image").evaluate(script)).reshape(24, 16, 4)
        difference = visible(shown.astype(np.uint8)) - visible(expected).astype(int)
        assert np.abs(difference).max() <= 2  # a canvas multiplies colours by alpha
        place.fill("0")
        page.click("#walk-play")
        expect(place).not_to_have_value("0")
        page.click("#walk-play")
        film = saved(page, "#walk-save")
        assert film[:4] == b"\x1aE\xdf\xa3"  # EBML, of which WebM is made
        with Image.open(io.BytesIO(saved(page, "#walk-gif"))) as gif:
            assert gif.size == (160, 240)
            frames = [np.asarray(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(gif)]
        expected = over_colour(generator.images(z=walk.at([(n, 0) for n in range(24)])), (255, 255, 255))
        for frame, image in zip(frames, expected, strict=True):
            assert (frame[::10, ::10] == frame[9::10, 9::10]).all()
            assert np.abs(frame[::10, ::10] - image).mean() < 2  # 384 pixels, 256 colours
        page.fill("#walk-seeds", "0-999")
        page.fill("#walk-frames", "1000")
        page.press("#walk-frames", "Tab")
        page.click("#walk-save")  # 1.5 GB
        expect(page.locator("#walk-problem")).to_contain_text("1,000,000 frames are too many")
        page.fill("#walk-seeds", "3")
        page.press("#walk-seeds", "Tab")
        expect(page.locator("#walk-problem")).to_contain_text("a walk needs two seeds")


@pytest.mark.parametrize(("width", "height"), [(320, 568), (800, 700), (2560, 1300)])
def test_no_width_scrolls_sideways(width: int, height: int, browser: Browser) -> None:
    html, _ = page_of("conditional")
    with opened(browser, html, width, height) as page:
        widths = "[document.documentElement.scrollWidth, document.body.scrollWidth]"
        assert page.evaluate(widths) == [width, width]
        if width <= 800:
            page.click("#panel-button")
        expect(page.get_by_label("Truncation")).to_be_visible()
        page.click("#seed-0")
        assert page.evaluate("document.getElementById('large').scrollWidth <= innerWidth")
        page.keyboard.press("Escape")
        page.click("#open-walk")
        assert page.evaluate("document.getElementById('walk').scrollWidth <= innerWidth")


def test_names_from_a_file_are_text(browser: Browser, tmp_path: Path) -> None:
    _, path = page_of("conditional")
    graph = Graph.load(path)
    names = ("</script><script>alert(1)</script>", "<b>bold</b>", "c", "d", "e")
    with graph.generator() as generator:
        spec = replace(generator.spec, class_names=names)
    write(tmp_path / "<img onerror=alert(1)>.html", graph, spec, parts())
    with opened(browser, tmp_path / "<img onerror=alert(1)>.html") as page:
        expect(page.locator("#title")).to_have_text("<img onerror=alert(1)>")
        assert page.locator("#class option").all_inner_texts()[1:] == list(names)


class Server(BaseHTTPRequestHandler):
    """What the page asks of a server: two addresses, with a token."""

    computed: ClassVar[list[int]] = []  # images of each request
    pause: ClassVar[float] = 0  # seconds that each request takes longer

    def __init__(self, generator: Generator, *arguments: Any) -> None:
        self.generator = generator
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path == "/":
            self.answer(server_page("g").encode(), "text/html; charset=utf-8")
        elif self.allowed():
            known = info("a model", "g.onnx", sha256(b"").hexdigest(), self.generator.spec)
            self.answer(json.dumps(known).encode(), "application/json")

    def do_POST(self) -> None:
        assert self.path == "/v2/models/a%20model/infer"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        length = int(self.headers["Inference-Header-Content-Length"])
        inputs = {each["name"]: each for each in json.loads(body[:length])["inputs"]}
        count = inputs["z"]["shape"][0]
        self.computed.append(count)
        time.sleep(self.pause)
        size = inputs["z"]["parameters"]["binary_data_size"]
        z = np.frombuffer(body[length : length + size], np.float32).reshape(inputs["z"]["shape"])
        label = np.frombuffer(body[length + size :], np.int64)
        assert inputs["label"] == {
            "name": "label",
            "datatype": "INT64",
            "shape": [count],
            "parameters": {"binary_data_size": 8 * count},
        }
        images = self.generator.images(z=z, label=label).tobytes()
        head = {"name": "images", "datatype": "UINT8", "parameters": {"binary_data_size": len(images)}}
        text = json.dumps({"outputs": [head]}).encode()
        if self.allowed():
            self.answer(text + images, "application/octet-stream", len(text))

    def allowed(self) -> bool:
        if self.headers["Authorization"] == "Bearer secret":
            return True
        self.send_error(401)
        return False

    def answer(self, body: bytes, kind: str, head: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if head is not None:
            self.send_header("Inference-Header-Content-Length", str(head))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_the_page_of_a_server(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    _, graph = page_of("conditional")
    with Generator.load(graph, "cpu") as generator:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, generator))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.set_default_timeout(MILLISECONDS)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        for token in ("wrong", "secret"):
            page.fill("#token-field", token)
            page.press("#token-field", "Enter")
        page.wait_for_selector("body.ready")
        expected = generator.images(range(8))
        assert np.array_equal(images(page, list(range(8)), expected), expected)
        full(page)
        on_screen = page.locator(".tile").count()
        Server.computed.clear()
        monkeypatch.setattr(Server, "pause", 0.2)
        for seed in range(10**6, 21 * 10**6, 10**6):  # what was scrolled past is not computed
            page.fill("#seed", str(seed))
            page.press("#seed", "Enter")
        monkeypatch.setattr(Server, "pause", 0)
        full(page)
        assert on_screen <= sum(Server.computed) < 10 * on_screen
        last = page.evaluate("Math.max(...[...document.querySelectorAll('.tile')].map((tile) => tile.seed))")
        page.click(f"#seed-{last} canvas")
        full(page)
        Server.computed.clear()
        monkeypatch.setattr(Server, "pause", 0.2)
        for _ in range(80):  # nor what the arrow keys went past
            page.keyboard.press("ArrowRight")
        monkeypatch.setattr(Server, "pause", 0)
        page.evaluate("gantool.images([0])")  # after all that was asked for
        assert 2 <= len(Server.computed) < 30
        page.close()
        server.shutdown()
        server.server_close()


def test_the_page_says_what_is_inside() -> None:
    html, _ = page_of("conditional")
    text = html.read_text(encoding="utf-8")
    assert "Copyright (c) Microsoft Corporation" in text
    assert "connect-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'" in text
    wasm = re.search(r'id="runtime-wasm">([^<]+)<', text)
    assert wasm is not None
    assert base64.b64decode(wasm[1])[:2] == b"\x1f\x8b"
