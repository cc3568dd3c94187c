"""No command imports a module from the folder that it is run in, also not in the processes that it starts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = (
    "numpy",
    "json",
    "queue",
    "onnxruntime",
    "torch",
    "typing",
    "openvino",
    "onnx",
    "tensorrt_rtx",
    "PIL",
)
RUN = "runs/00000-fashion-mnist-dcgan32"
COMMANDS = (
    ["doctor"],
    ["bench", "g.onnx", "--batch", "1", "--seconds", "0.1", "--provider", "cpu,openvino"],
    ["generate", "-e", "g.onnx", "--seeds", "0-3"],
    ["inspect", "g.onnx"],
    ["verify", "g.onnx", "g.fp16.onnx", "--seeds", "0-3"],
    ["export", "g.onnx", "--fp16", "-o", "h"],
    ["train", "-n"],
    ["plot", RUN],
    pytest.param(["doctor", "--selftest"], marks=pytest.mark.slow),
    pytest.param(["train", "--devices", "2", "--device", "cpu", "--kimg", "0.1"], marks=pytest.mark.slow),
    pytest.param(["data", "fashion-mnist"], marks=pytest.mark.slow),
    pytest.param(
        ["evaluate", "g.onnx", "--data", "fashion-mnist", "--samples", "100"], marks=pytest.mark.slow
    ),
)


def plant(folder: Path) -> Path:
    """Put modules into a folder that leave a mark where they are imported; return the mark."""
    mark = folder / "mark"
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write('{name}')\nraise SystemExit(9)\n")
    return mark


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: "-".join(command[:2]).replace("--", ""))
def test_no_module_of_the_current_folder_is_run(work: Path, trained: Path, command: list[str]) -> None:
    shutil.copytree(trained / "runs", work / "runs")
    mark = plant(work)
    gantool = Path(sys.executable).with_name("gantool")  # python -m would look here by itself
    result = subprocess.run([gantool, *command], cwd=work, capture_output=True, text=True, check=False)
    assert not mark.exists(), mark.read_text()
    assert result.returncode == 0, result.stderr


def test_what_the_user_put_into_pythonpath_stays(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = plant(work)
    monkeypatch.setenv("PYTHONPATH", str(work))
    gantool = Path(sys.executable).with_name("gantool")
    subprocess.run([gantool, "doctor"], cwd="/", capture_output=True, check=False)
    assert mark.exists()
