"""Runs that were damaged, or lie where nobody expected them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from field.cases import Case, Folder, gantool
from helpers.once import once

FLAGS = "--no-autotune --device cpu --width 4 --size 16 --tick 0.05"
RUN = "runs/00000-fashion-mnist-dcgan32"
DEEP = "[" * 100_000
LINES = (
    b'\xff\xfe{"kimg": 1}',
    b"[1, 2]",
    b"5",
    b"null",
    b'{"tick": 3}',
    b'{"kimg": "x", "loss_d": 1}',
    b'{"kimg": null}',
    b'{"kimg": 0.2, "loss_d": "x", "loss_g": null, "right": [1]}',
    b'{"kimg": 1e999, "loss_d": 1}',
    b'{"kimg": ' + b"9" * 400 + b"}",
    DEEP.encode(),
    b'{"kimg": 0.3, "lo',
)


def trained() -> Path:
    def make(folder: Path) -> None:
        folder.mkdir()
        assert gantool(f"train {FLAGS} --kimg 0.2 --snap 9", folder).code == 0
        # on a slow machine it saved on the way, and goes on from there
        (folder / RUN / "training_state.previous.pt").unlink(missing_ok=True)

    return once("run", make)


def run(damage: Callable[[Path], object] = lambda _: None) -> Folder:
    """Return what puts a run into a folder and damages it."""

    def prepare(folder: Path) -> None:
        shutil.copytree(trained() / "runs", folder / "runs")
        damage(folder / RUN)

    return prepare


def lines(name: str) -> Folder:
    """Return what puts lines that are not records before and after those of a log."""

    def damage(folder: Path) -> None:
        path = folder / name
        kept = path.read_bytes() if path.exists() else b""
        path.write_bytes(b"\n".join(LINES) + b"\n" + kept + b"\n".join(LINES))

    return damage


def no_line(folder: Path) -> None:
    (folder / "stats.jsonl").write_bytes(b"\n".join(LINES[:5]))


def options(**changes: object) -> Folder:
    def damage(folder: Path) -> None:
        path = folder / "training_options.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def odd_sheets(folder: Path) -> None:
    sheet = next(folder.glob("fakes*.png")).read_bytes()
    for name in (
        "fakes000000 copy.png",
        "fakes.png",
        "fakes-1.png",
        "fakes00000x.png",
        "fakes000001 (2).png",
    ):
        (folder / name).write_bytes(sheet)
    (folder / "fakes000007.png").write_bytes(sheet[:50])
    (folder / "fakes000008.png").mkdir()
    Image.new("L", (8, 8)).save(folder / "fakes000009_250.png")


def page_shows(*texts: str, never: str = "copy") -> Folder:
    def then(folder: Path) -> None:
        page = (folder / RUN / "plot.html").read_text()
        for text in texts:
            assert text in page
        assert f'data-name="{never}' not in page

    return then


def cut_state(folder: Path) -> None:
    path = folder / "training_state.pt"
    path.write_bytes(path.read_bytes()[:3000])


def logs_are_whole(folder: Path) -> None:
    for name in ("stats.jsonl", "metric-classifier.jsonl"):
        for line in (folder / RUN / name).read_text().splitlines():
            assert "kimg" in json.loads(line)


RESUME = "train --resume latest --kimg 0.25"
NOT_OPTIONS = ("training_options.json does not hold the options of a run", "start a new run: gantool train")
EXPORTED = (
    f"gantool export {RUN}/generator.safetensors",
    "gantool train --data fashion-mnist --preset dcgan32",
)

CASES: list[Case] = [
    Case(
        "plot: copies of sheets, and damaged ones",
        "plot",
        says=(f"{RUN}/plot.html",),
        prepare=run(odd_sheets),
        then=page_shows('data-name="0 kimg"', 'data-name="9.25 kimg"', never="7 kimg"),
    ),
    Case("plot: a PNG of copies of sheets", "plot -o a.png", says=("a.png",), prepare=run(odd_sheets)),
    Case("plot latest", "plot latest", says=(f"{RUN}/plot.html",), prepare=run()),
    Case(
        "plot: lines that are not records",
        "plot",
        prepare=run(lines("stats.jsonl")),
        then=page_shows("losses"),
    ),
    Case("plot: no line is one", f"plot {RUN}", 1, ("has no tick yet",), prepare=run(no_line)),
    Case(
        "plot: a metric of damaged lines alone",
        "plot",
        prepare=run(lines("metric-x.jsonl")),
        then=page_shows("losses"),
    ),
    Case("plot: no run", "plot", 1, ("no run in runs/", "gantool train")),
    Case(
        "resume: lines that are not records",
        RESUME,
        says=("done at 0.3 of about 50 kimg",),
        prepare=run(lambda folder: (lines("stats.jsonl")(folder), lines("metric-classifier.jsonl")(folder))),
        then=logs_are_whole,
    ),
    Case("resume: a log that is a folder", RESUME, prepare=run(lambda run: (run / "metric-a.jsonl").mkdir())),
    Case("resume: data is a number", RESUME, 1, (*NOT_OPTIONS, "data is 5"), prepare=run(options(data=5))),
    Case("resume: threads are text", RESUME, 1, (*NOT_OPTIONS, "threads"), prepare=run(options(threads="x"))),
    Case("resume: no threads", RESUME, 1, (*NOT_OPTIONS, "threads"), prepare=run(options(threads=0))),
    Case("resume: half a step", RESUME, 1, (*NOT_OPTIONS, "lazy"), prepare=run(options(lazy=1.5))),
    Case("resume: a text for yes", RESUME, 1, (*NOT_OPTIONS, "mirror"), prepare=run(options(mirror="yes"))),
    Case("resume: yes for a number", RESUME, 1, (*NOT_OPTIONS, "lr"), prepare=run(options(lr=True))),
    Case("resume: a network of lists", RESUME, 1, NOT_OPTIONS, prepare=run(options(network=[1]))),
    Case(
        "resume: deep options",
        RESUME,
        1,
        NOT_OPTIONS,
        prepare=run(lambda run: (run / "training_options.json").write_text(DEEP)),
    ),
    Case("resume: a state that is cut", RESUME, 1, ("is damaged", *EXPORTED), prepare=run(cut_state)),
    Case(
        "resume: a pickle for a state",
        RESUME,
        1,
        ("could run code", *EXPORTED),
        ("weights_only", "torch.load", "PyTorch 2.6"),
        prepare=run(lambda run: (run / "training_state.pt").write_bytes(pickle.dumps(ValueError("x")))),
    ),
    Case(
        "resume: a state that is text",
        RESUME,
        1,
        ("is damaged", *EXPORTED),
        prepare=run(lambda run: (run / "training_state.pt").write_text("hello")),
    ),
    Case(
        "train: a folder whose name is not UTF-8",
        f"train {FLAGS} --kimg 0.1 --outdir " + os.fsdecode(b"r\xff"),
        says=("done at 0.1 of about 50 kimg",),
        then=lambda folder: next(folder.glob("*/00000-*/generator.safetensors")),
    ),
    Case(
        "train: what was reached",
        f"train {FLAGS} --kimg 0.1",
        says=("done at 0.1 of about 50 kimg that preset dcgan32 needs", "--kimg 50"),
    ),
    Case(
        "evaluate: the newest run",
        "evaluate --samples 64 --data fashion-mnist",
        says=(f"{RUN}: 64 images", "half of the data against the other half"),
        prepare=run(),
    ),
    Case("evaluate: latest", "evaluate latest --samples 64", says=(f"{RUN}: 64 images",), prepare=run()),
    Case("evaluate: no run", "evaluate", 1, ("no run in runs/", "gantool train")),
]
