"""The page of a generator in Chromium, and ONNX Runtime for browsers from npm."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from playwright.sync_api import Browser, Page

from gantool.export import stages
from gantool.export.artifact import Graph
from gantool.export.options import ExportOptions
from gantool.export.packaging import bundle
from gantool.export.packaging.web import Parts, write
from gantool.export.packaging.web_runtime import NAME, VERSION, find_runtime
from gantool.models import save_checkpoint
from gantool.runtime.directions import Directions
from helpers.browser import MILLISECONDS
from helpers.commands import needed
from helpers.networks import NETWORKS, full_graph, in_fp16, lived_in
from helpers.once import once

GOLDEN = Path(__file__).parents[2] / "export/doctor/golden/int8.tar"


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


@cache
def parts() -> Parts:
    return Parts(find_runtime(npm_package()), None)


def graph_of(kind: str) -> bytes:
    """Return a graph: fp16 (grey, z truncated), conditional, sprites (RGBA, not square), deep (16 bits), int8."""
    if kind == "int8":
        return bundle.read(GOLDEN).graph
    if kind == "fp16":
        return bytes(in_fp16(full_graph("dcgan28")[0]).SerializeToString())
    if kind != "deep":
        return bytes(full_graph(kind)[0].SerializeToString())

    def make(path: Path) -> None:
        source = path.with_name("deep.safetensors")
        save_checkpoint(source, lived_in(NETWORKS["dcgan16"]), 1000, "shapes")
        made = stages.from_torch(source, path.with_name("g.onnx"), ExportOptions(output="uint16"))
        onnx.save(made.model, path)

    return once("deep-graph", make).read_bytes()


@cache
def page_of(kind: str) -> tuple[Path, Path]:
    """Return a page with its graph beside it."""

    def make(folder: Path) -> None:
        folder.mkdir()
        path = folder / "g.onnx"
        path.write_bytes(graph_of(kind))
        graph = Graph.load(path)
        with graph.generator() as generator:
            spec = generator.spec
        found = parts()
        if kind == "conditional":
            vectors = np.eye(2, spec.latent, dtype=np.float32)
            found = replace(found, directions=Directions(("0", "smile"), vectors, np.ones(2, np.float32)))
        write(folder / "g.html", graph, spec, found)

    folder = once(f"page-{kind}", make)
    return folder / "g.html", folder / "g.onnx"


def saved(page: Page, button: str) -> bytes:
    with page.expect_download() as download:
        page.click(button)
    return download.value.path().read_bytes()
