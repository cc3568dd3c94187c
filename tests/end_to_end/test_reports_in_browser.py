"""Each report in real Chromium: it asks nobody, logs no error, and fits phones and screens, in light and dark."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from conftest import run_gantool
from gantool.export.doctor import doctor_html, report, selftest
from helpers.browser import chromium, opened, overflows
from helpers.once import once

LAST = (
    "Images of the same seeds over the run, 89 kimg"  # what the last sheet shows, for those who do not see it
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def reports(trained: Path, exported: Path) -> Path:
    """Return a folder with a report of each command."""

    def make(folder: Path) -> None:
        folder.mkdir()
        (run,) = trained.glob("runs/*")
        graphs = ("g.onnx", "g.fp16.onnx")
        run_gantool("verify", *graphs, "--html", folder / "verify.html", cwd=exported, check=True)
        flags = ("--batch", "1,4", "--seconds", "0.05", "--provider", "cpu")
        run_gantool("bench", *graphs, *flags, "--html", folder / "bench.html", cwd=exported, check=True)
        flags = ("--size", "1GB", "--provider", "cpu", "--seconds", "0.05")
        run_gantool("tune", *graphs, *flags, "--html", folder / "tune.html", cwd=exported, check=True)
        run_gantool("plot", run, "-o", folder / "plot.html", cwd=folder, check=True)
        evaluated = ("--samples", "32", "--html", folder / "evaluate.html", "-o", folder)
        run_gantool("evaluate", run, *evaluated, cwd=folder, check=True)
        checks = []
        for name in selftest.GENERATORS:
            images = (selftest.golden(name).golden ^ 1).astype(np.uint8)  # one level beside the golden ones
            checks.append(selftest.Check("a-library", name, selftest.PASSED, "", images))
        found = report.Report({"python": "3"}, {"cpu": "starts"}, (), tuple(checks))
        doctor_html.write(found, folder / "doctor.html")

    return once("reports", make)


@pytest.mark.parametrize("name", ["verify", "bench", "tune", "plot", "evaluate", "doctor"])
def test_a_report_fits_every_width_and_asks_nobody(name: str, browser: Browser, reports: Path) -> None:
    for width in (320, 800, 1280, 2560):
        scheme = "dark" if width % 3 else "light"
        with opened(browser, reports / f"{name}.html", width, color_scheme=scheme) as page:
            assert not overflows(page)
            assert page.evaluate(
                "[...document.images].every((each) => each.complete && each.naturalWidth > 0)"
            )
            assert page.evaluate("[...document.images].every((each) => each.alt)")
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.fixture
def film(trained: Path, tmp_path: Path) -> Path:
    """Return the page of a run with 90 sheets; sheet N is of the grey level N."""
    (run,) = trained.glob("runs/*")
    copy = shutil.copytree(run, tmp_path / "<b>run")
    for sheet in copy.glob("fakes*.png"):
        sheet.unlink()
    for kimg in range(90):
        Image.new("L", (64, 64), kimg).save(copy / f"fakes{kimg:06d}.png")
    lines = [{"kimg": kimg, "loss_d": 1.0, "loss_g": 2.0} for kimg in range(0, 101, 10)]
    (copy / "stats.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run_gantool("plot", copy, cwd=tmp_path, check=True)
    return copy / "plot.html"


def test_the_slider_goes_through_the_run(browser: Browser, film: Path) -> None:
    with opened(browser, film) as page:
        shown, slider, output = (
            page.locator(".film img:visible"),
            page.get_by_role("slider"),
            page.locator("output"),
        )
        expect(page.locator(".film img")).to_have_count(60)
        expect(shown).to_have_attribute("alt", LAST)
        slider.focus()
        page.keyboard.press("Home")
        expect(output).to_have_text("0 kimg")
        page.keyboard.press("ArrowRight")
        expect(output).to_have_text("2 kimg")
        expect(shown).to_have_count(1)
        expect(slider).to_have_attribute("aria-valuetext", "2 kimg")
        # the pixels of this sheet, and the line in the charts
        level = page.evaluate(
            """async () => {
              const image = document.querySelector('.film img:not([hidden])');
              const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
              await image.decode();
              const drawing = canvas.getContext('2d');
              drawing.drawImage(image, 0, 0);
              return drawing.getImageData(0, 0, 1, 1).data[0];
            }"""
        )
        assert level == 2
        line = page.locator(".chart .now").first
        at, left, right = (
            float(line.get_attribute("x1") or ""),
            *map(float, (page.locator(".chart").first.get_attribute("data-x") or "").split()[2:]),
        )
        assert at == pytest.approx(left + 0.02 * (right - left))


def test_the_film_plays_and_stops_at_its_end(browser: Browser, film: Path) -> None:
    with opened(browser, film) as page:
        button, output = page.get_by_role("button"), page.locator("output")
        button.press("Enter")
        expect(button).to_have_text("Pause")
        button.click()
        expect(button).to_have_text("Play")
        page.get_by_role("slider").fill("57")
        button.click()
        expect(output).to_have_text("89 kimg")
        expect(button).to_have_text("Play")


def test_without_scripts_the_last_sheet_shows(browser: Browser, film: Path) -> None:
    with opened(browser, film, java_script_enabled=False) as page:
        expect(page.locator(".film img:visible")).to_have_attribute("alt", LAST)
        expect(page.get_by_text("89 kimg, the last of 60 images")).to_be_visible()
        expect(page.get_by_role("slider")).to_have_count(0)


def test_a_large_sheet_is_kept_small(trained: Path, tmp_path: Path) -> None:
    (run,) = trained.glob("runs/*")
    copy = shutil.copytree(run, tmp_path / "run")
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3)).astype(np.uint8)
    for kimg in range(100, 105):
        Image.fromarray(noise).save(copy / f"fakes{kimg:06d}.png")
    run_gantool("plot", copy, cwd=tmp_path, check=True)
    assert (copy / "plot.html").stat().st_size < 5 * noise.nbytes / 4
