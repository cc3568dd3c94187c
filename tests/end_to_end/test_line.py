"""The whole line, as a user types it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from conftest import run_gantool
from gantool.runtime import Generator

ROOT = Path(__file__).parents[2]


def test_images_of_an_export(exported: Path, tmp_path: Path) -> None:
    flags = ("--engine", exported / "g.fp16.onnx", "--seeds", "0,1,4-6", "--grid", "3x2")
    result = run_gantool("generate", *flags, cwd=tmp_path, check=True)
    assert (
        result.stdout
        == f"5 images of 32×32×1 in images\nsheet {Path('images/grid.png')}: 5 images for 6 places\n"
    )
    assert result.stderr == ""
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == ["grid.png", *(f"seed{seed:04d}.png" for seed in (0, 1, 4, 5, 6))]
    with (
        Image.open(tmp_path / "images/grid.png") as sheet,
        Image.open(tmp_path / "images/seed0004.png") as cell,
    ):
        assert (sheet.size, sheet.mode) == ((96, 64), "L")
        np.testing.assert_array_equal(np.asarray(sheet)[:32, 64:], np.asarray(cell))
        assert not np.asarray(sheet)[32:, 64:].any()  # the cell that is left over


def test_npy_holds_the_same_images(exported: Path, tmp_path: Path) -> None:
    for flags in (("--format", "npy", "--batch", "7"), ("--format", "png")):
        run_gantool(
            "generate", "-e", exported / "g.onnx", "--seeds", "3-22", *flags, cwd=tmp_path, check=True
        )
    array = np.load(tmp_path / "images/images.npy")
    assert (array.shape, array.dtype) == ((20, 32, 32, 1), np.uint8)
    with Image.open(tmp_path / "images/seed0022.png") as last:
        np.testing.assert_array_equal(array[-1, :, :, 0], np.asarray(last))


def test_a_lowered_graph_makes_the_same_images(exported: Path, checkpoint: Path, tmp_path: Path) -> None:
    flags = ("--lowering", "phases-stack", "--engine", "none", "-o", tmp_path / "lowered")
    run_gantool("export", checkpoint, *flags, cwd=tmp_path, check=True)
    with Generator.load(tmp_path / "lowered.onnx") as lowered, Generator.load(exported / "g.onnx") as plain:
        difference = lowered.images(range(9)).astype(int) - plain.images(range(9))
    assert abs(difference).max() <= 1
    operators = [node.op_type for node in onnx.load(tmp_path / "lowered.onnx").graph.node]
    assert "Conv" in operators
    assert "ConvTranspose" not in operators


def test_trunc_draws_images_together(exported: Path, tmp_path: Path) -> None:
    spread = {}
    for psi in ("1", "0.2", "0"):
        flags = ("--format", "npy", "--trunc", psi, "--out", psi)
        run_gantool("generate", "-e", exported / "g.onnx", *flags, cwd=tmp_path, check=True)
        spread[psi] = np.load(tmp_path / psi / "images.npy").astype(float).std(0).mean()
    assert spread["1"] > spread["0.2"] > spread["0"] == 0


def test_export_names_files_sizes_and_the_next_command(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    result = run_gantool("export", "--fp16", "--engine", "rtx", "--sm", "86", cwd=tmp_path, check=True)
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == [
        "g.fp16.onnx",
        "g.onnx",
        "g.rtx.plan",
        "g.rtx.plan.json",
    ]
    assert all(line.split()[2] in ("KiB", "MiB") for line in lines[:4])
    commands = [line.split("  #")[0].split() for line in lines[lines.index("next:") + 1 :]]
    for command in commands:
        assert run_gantool(*command[1:], cwd=tmp_path).returncode in (0, 4)  # 4: the plan, without a GPU
    assert len(list((tmp_path / "images").glob("seed*.png"))) == 64
    # files of an earlier export have the same weights
    again = run_gantool("export", "--engine", "none", cwd=tmp_path, check=True)
    assert "from an earlier export" not in again.stderr


def test_memory_does_not_grow_with_the_number_of_images(exported: Path, tmp_path: Path) -> None:
    script = (
        "import resource, sys\nfrom gantool.__main__ import main\n"
        "try: main()\nexcept SystemExit as error: assert not error.code, error.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    peaks = []
    for seeds in ("0-999", "0-19999"):
        flags: list[str | Path] = ["generate", exported / "g.onnx", "--format", "npy", "--seeds", seeds]
        flags += ["--provider", "cpu"]
        result = subprocess.run(
            [sys.executable, "-c", script, *flags], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        peaks.append(int(result.stderr))  # KiB
    assert peaks[1] - peaks[0] < 6_000  # the images are 20,000 KiB


def test_ctrl_c_leaves_only_whole_images(exported: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gantool", "generate", "-e", exported / "g.onnx", "--seeds", "0-999999"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(list(tmp_path.glob("images/seed*.png"))) < 100:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        _, stderr = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 130
    assert "gantool: interrupted" in stderr
    written = len(list((tmp_path / "images").iterdir()))
    assert f"{written:,} of 1,000,000 images are in images" in stderr
    assert "Traceback" not in stderr
    for path in (tmp_path / "images").iterdir():
        assert path.name.startswith("seed")
        with Image.open(path) as image:
            image.load()


def test_python_api_of_the_readme(exported: Path) -> None:
    script = (
        "from gantool.runtime import Generator\n"
        "with Generator.load('g.onnx') as g:\n"
        "    images = g.images(range(64))\n"
        "    assert images.shape == (64, 32, 32, 1) and images.dtype == 'uint8'\n"
        "    batches = g.generate(range(1_000_000), batch=64)\n"
        "    assert (next(batches) == images).all()\n"
        "import sys; assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=exported, check=True)


@pytest.mark.slow
def test_the_base_install_generates_images(exported: Path, tmp_path: Path) -> None:
    """`pip install gantool[cpu]` in a fresh venv brings a handful of packages and makes images."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    install: list[str | Path] = ["install", "-q", "-c", ROOT / "constraints.txt", f"{ROOT}[cpu]"]
    subprocess.run([python, "-m", "pip", *install], check=True, cwd=tmp_path)
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True)
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert {"gantool", "numpy", "pillow", "typer", "onnxruntime"} <= names
    assert not names & {"torch", "onnx", "safetensors", "onnxscript", "cuda-bindings", "pydantic"}
    command: list[str | Path] = [
        tmp_path / "venv/bin/gantool",
        "generate",
        "--engine",
        exported / "g.fp16.onnx",
    ]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert len(list((tmp_path / "images").glob("seed*.png"))) == 64
    missing = subprocess.run(
        [tmp_path / "venv/bin/gantool", "train"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert missing.returncode == 5
    assert f"pip install '{ROOT}[train]'" in missing.stderr


@pytest.fixture(scope="session")
def large_numbers(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that is the same in FP32, and whose inner values leave FP16's range."""
    source = next(trained.glob("runs/*/generator.safetensors"))
    with safe_open(source, framework="np") as file:
        metadata = file.metadata()
    weights = load_file(source)
    norm = max(
        (name for name in weights if name.endswith("running_mean")), key=lambda name: int(name.split(".")[1])
    )
    layer = int(norm.split(".")[1])
    weights[f"layers.{layer}.weight"] *= 1e6  # BatchNorm's scale and shift, undone by the layer after it
    weights[f"layers.{layer}.bias"] *= 1e6
    weights[f"layers.{layer + 2}.weight"] /= 1e6
    target = tmp_path_factory.mktemp("large") / "c.safetensors"
    save_file(weights, target, metadata)
    return target


def test_layers_that_overflow_stay_in_fp32_by_name(large_numbers: Path, tmp_path: Path) -> None:
    result = run_gantool("export", large_numbers, "--fp16", "--engine", "rtx", cwd=tmp_path, check=True)
    kept = re.findall(
        r"^(\S+) stays in FP32: numbers up to \S+, over the 65504 of FP16$", result.stderr, re.M
    )
    assert len(kept) >= 3  # the layer, its activation, the layer that reads it
    assert any("conv_transpose" in name or "ConvTranspose" in name for name in kept)
    sidecar = json.loads((tmp_path / "g.rtx.plan.json").read_text())
    assert sorted(sidecar["recipe"]["keep_fp32"]) == sorted(kept)
    # the recipe says it all again, from the sidecar and from the graph
    for number, recipe in enumerate(("g.rtx.plan.json", "g.fp16.onnx")):
        again = ["-o", f"again{number}", "--recipe", recipe, "--engine", "none"]
        run_gantool("export", large_numbers, *again, cwd=tmp_path, check=True)
        graph = (tmp_path / f"again{number}.fp16.onnx").read_bytes()
        assert graph == (tmp_path / "g.fp16.onnx").read_bytes()


def test_an_export_that_fails_its_proof_leaves_nothing(large_numbers: Path, tmp_path: Path) -> None:
    result = run_gantool("export", large_numbers, "--fp16", "--min-psnr", "150", cwd=tmp_path)
    assert result.returncode == 3, result.stderr
    assert "FP16 does not pass the gate" in result.stderr
    assert "Nothing was written" in result.stderr
    assert list(tmp_path.iterdir()) == []
