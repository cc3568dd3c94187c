"""Each console and Python block of README and docs runs, or says in a comment why it does not.

The comment is the line before the block: <!-- not run: REASON -->. The blocks of a page run in their order, in
one folder that `world` has filled: runs, graphs, a plan, images, and other people's files. Commands of gantool and
Python run in this process, other lines in bash. `helpers.manual` makes trainings, measurements and long ranges of
seeds short. What a block prints is not compared with the page.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from conftest import run_gantool
from helpers.commands import in_this_process
from helpers.manual import (
    CODE,
    MANUAL,
    NOT_RUN,
    ROOT,
    TEST,
    Block,
    blocks_of,
    command_of,
    shortened,
    shortened_code,
    steps_of,
)
from helpers.once import once

# Their blocks train, score, measure or build for more than some seconds; `make slow` runs them.
SLOW = (
    *("README.md", "distill.md", "evaluate.md", "export.md", "other-peoples-generators.md", "precision.md"),
    *("provenance.md", "python.md", "small-data.md", "train.md", "tune.md", "tutorial.md", "web.md"),
)


def test_what_does_not_run_says_why() -> None:
    for page in MANUAL:
        marked = [block for block in blocks_of(page) if block.why_not]
        lines = page.read_text(encoding="utf-8").splitlines()
        marks = sum(line.startswith(NOT_RUN) for line in lines)
        assert marks == len(marked), f"{page.name}: a mark stands in the line before its block"
        for block in marked:
            assert block.language in CODE, f"{block}: only blocks of {' and '.join(CODE)} run"
            assert " " in block.why_not, f"{block}: say why"
            for test in TEST.findall(block.why_not):
                assert (ROOT / test).is_file(), f"{block}: {test}"


def test_a_slow_page_is_a_page() -> None:
    assert {*SLOW} <= {page.name for page in MANUAL}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else [])
        for page in MANUAL
        if any(block.runs for block in blocks_of(page))
    ],
)
def test_the_blocks_of_a_page_run_in_order(
    page: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    fill(folder, trained)
    monkeypatch.chdir(folder)
    variables: dict[str, object] = {}
    for block in blocks_of(page):
        if block.runs and block.language == "python":
            exec(compile(shortened_code(block.code), str(block), "exec"), variables)
        elif block.runs:
            for step in steps_of(block):
                run_step(block, step, folder)


def fill(folder: Path, trained: Path) -> None:
    """Copy the world into a new folder, and the run `trained` beside its own run."""
    shutil.copytree(once("manual", world), folder)
    shutil.copytree(trained / "runs", folder / "runs", dirs_exist_ok=True)


def run_step(block: Block, step: str, folder: Path) -> None:
    """Run a command of gantool in this process, or other lines of a console block in bash."""
    if words := command_of(step):
        code, out, err = in_this_process(shortened(words), folder, {})
    else:
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        bash = ["bash", "-e", "-c", step]
        done = subprocess.run(bash, cwd=folder, env=env, capture_output=True, text=True, check=False)
        code, out, err = done.returncode, done.stdout, done.stderr
    assert code == 0, f"{block}: {step}\n{out}{err}"


def world(folder: Path) -> None:
    """Fill a folder with what the manual works on, small enough to be quick."""
    data = once("manual-data", pictures)  # which stays where the run finds it again
    for name in ("icons", "animals"):
        shutil.copytree(data / "icons", folder / name)
    run_gantool("data", "icons", "-o", "icons.zip", cwd=folder, check=True)
    small = ("--conditional", "--size", "32", "--width", "8", "--kimg", "1", "--no-autotune")
    run_gantool("train", "--data", data / "icons", *small, cwd=folder, check=True)
    (folder / "runs/00000-icons-dcgan32").rename(folder / "runs/00000-icons-small")
    run_gantool("export", "--fp16", "--engine", "rtx", cwd=folder, check=True)
    shutil.copytree(folder / "runs/00000-icons-small", folder / "runs/00001-icons-distilled")
    unmarked = ("--seeds", "5", "--mark", "none", "--out", "photo")
    run_gantool("generate", "g.onnx", *unmarked, cwd=folder, check=True)
    (folder / "photo/seed0005.png").rename(folder / "photo.png")
    bring(folder)


def pictures(folder: Path) -> None:
    """Write 40 icons of each of two classes."""
    for at, shape in enumerate(("circle", "square")):
        (folder / "icons" / shape).mkdir(parents=True)
        for index in range(40):
            draw(shape, 40 * at + index).save(folder / "icons" / shape / f"{index}.png")


def draw(shape: str, seed: int) -> Image.Image:
    """Return a picture of 64×64, transparent around a shape."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGBA", (64, 64))
    left, top, side = (int(rng.integers(*limits)) for limits in ((2, 20), (2, 20), (20, 40)))
    pen = ImageDraw.Draw(image)
    form = pen.ellipse if shape == "circle" else pen.rectangle
    form((left, top, left + side, top + side), fill=tuple(map(int, rng.integers(0, 256, 3))))
    return image


def bring(folder: Path) -> None:
    """Add generators from elsewhere, as docs/other-peoples-generators.md names them."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    sizes = ((100, 512, 1, 0), (512, 256, 2, 1), (256, 128, 2, 1), (128, 64, 2, 1))
    layers: list[nn.Module] = []
    for takes, gives, stride, padding in sizes:  # the generator of PyTorch's DCGAN example
        up = nn.ConvTranspose2d(takes, gives, 4, stride, padding, bias=False)
        layers += [up, nn.BatchNorm2d(gives), nn.ReLU(True)]
    main = nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())
    state = {f"main.{name}": value for name, value in main.state_dict().items()}
    torch.save(state, folder / "netG_epoch_24.pth")
    (folder / "my_pkg").mkdir()
    (folder / "my_pkg/my_mod.py").write_text(MY_MODULE)
    small = nn.Sequential(nn.Linear(128, 3 * 16 * 16))
    torch.save(small.state_dict(), folder / "w.pth")
    for name in ("keras", "stylegan"):
        shutil.copy(folder / "g.onnx", folder / f"{name}.onnx")


MY_MODULE = """
from torch import nn


def make_generator():
    return nn.Sequential(nn.Linear(128, 3 * 16 * 16), nn.Tanh(), nn.Unflatten(1, (3, 16, 16)))
"""
