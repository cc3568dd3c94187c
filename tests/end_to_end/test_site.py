"""The site of the documentation: it is built strictly, it is complete, and a browser reads it from the disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import expect

import command_line
import gantool
from conftest import run_gantool
from gantool.__main__ import COMMANDS
from helpers.browser import chromium, opened, overflows
from helpers.once import once

ROOT = Path(__file__).parents[2]
FLAG = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
SMALL = f"""
INHERIT: {ROOT}/mkdocs.yml
docs_dir: pages
hooks: []
plugins: []
watch: []
nav:
  - index.md
  - other.md
"""
# file, what is added to it, what the build then says
FAULTS = (
    ("index.md", "[gone](link.md)", "'link.md'"),
    ("index.md", "[gone](other.md#anchor)", "'other.md#anchor'"),
    ("index.md", "![gone](image.png)", "'image.png'"),
    ("page.md", "# A page that the nav lacks", "page.md"),
    ("../mkdocs.yml", "  - nav.md", "'nav.md'"),
)


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(site)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site() -> Path:
    """Return the folder of the built site."""

    def make(folder: Path) -> None:
        built = build(ROOT / "mkdocs.yml", folder)
        assert built.returncode == 0, built.stderr

    return once("site", make)


def test_the_reference_of_the_command_line_has_every_flag_of_the_help(tmp_path: Path) -> None:
    page = command_line.reference()
    sections = dict(re.findall(r"^## gantool (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(COMMANDS)
    for name, section in sections.items():
        in_help = run_gantool(name, "--help", cwd=tmp_path, check=True).stdout
        flags = re.findall(r"^  (-.*?)(?:  |$)", in_help, re.MULTILINE)
        assert flags
        for left in flags:
            assert f"| `{left}` |" in section, f"gantool {name}: {left}"


@pytest.mark.slow
def test_each_fault_of_a_page_ends_the_build(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (tmp_path / "mkdocs.yml").write_text(SMALL)
    (pages / "index.md").write_text("# Index\n\n[other](other.md#part)\n")
    (pages / "other.md").write_text("# Other\n\n## Part\n")
    good = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert good.returncode == 0, good.stderr
    for name, added, _ in FAULTS:
        with (pages / name).open("a") as file:
            file.write(f"{added}\n")
    bad = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert bad.returncode == 1
    warnings = [
        line for line in re.split(r"\n(?=WARNING|INFO|Aborted)", bad.stderr) if line.startswith("WARNING")
    ]
    assert len(warnings) == len(FAULTS), bad.stderr
    for _, _, said in FAULTS:
        assert any(said in warning for warning in warnings), f"{said}: {bad.stderr}"


@pytest.mark.slow
def test_the_python_api_has_every_public_name_with_its_docstring(site: Path) -> None:
    page = (site / "python-api.html").read_text(encoding="utf-8")
    headings = re.findall("<h3.*?</h3>", page, re.DOTALL)
    shown = {unescape(re.sub("<.*?>", "", heading)).strip("¶ \n") for heading in headings}
    assert {f"gantool.{name}" for name in gantool.__all__ if name != "__version__"} <= shown
    assert "metric-&lt;features&gt;.jsonl" in page  # a docstring is not HTML
    assert "<code>min_psnr</code>" in page  # a parameter


@pytest.mark.slow
def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    loads = re.compile(
        r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?https?:|<link[^>]*\shref=["']?https?:"""
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert [page for page in pages if loads.search(page.read_text(encoding="utf-8"))] == []
    imports = re.compile(r"url\(['\"]?https?:|@import")
    assert [css for css in site.rglob("*.css") if imports.search(css.read_text(encoding="utf-8"))] == []


@pytest.mark.slow
def test_a_phone_reads_pages_from_the_disk(site: Path) -> None:
    with chromium() as browser, opened(browser, site / "index.html", 400, root=site) as page:
        links = page.locator(".md-nav--primary a.md-nav__link[href]")
        pages = {link.partition("#")[0] for link in links.evaluate_all("all => all.map(each => each.href)")}
        for address in sorted(pages)[::5]:  # Chromium takes seconds for each
            page.goto(address)
            assert page.locator("h1").count() == 1, address
            assert not overflows(page), address
            missing = "all => all.filter(each => !each.naturalWidth).map(each => each.src)"
            assert page.locator("article img").evaluate_all(missing) == [], address


@pytest.mark.slow
def test_a_wide_screen_shows_the_widest_pages_and_searches_from_the_disk(site: Path) -> None:
    with chromium() as browser, opened(browser, site / "python-api.html", 1400, root=site) as page:
        assert not overflows(page)
        page.goto((site / "command-line.html").as_uri())
        assert not overflows(page)
        # Material reads the field upon a key, and `fill` presses none
        page.locator("input[name=query]").press_sequentially("precision")
        found = page.locator(".md-search-result__link").first
        expect(found).to_contain_text("Precision")
        found.click()
        expect(page.locator("h1")).to_contain_text("Precision")
