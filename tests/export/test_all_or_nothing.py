"""Where files could not go is seen before any work; a missing package is named; nothing is half done."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from conftest import run_gantool
from gantool.runtime.errors import pip_install


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("-o", "q/g"), "q/g.onnx is a folder"),
        (("--bundle", "file/g.tar"), "is a file"),
        (("--triton", "file/model"), "is a file"),
        (("--bundle", "m/same.tar", "--triton", "./m/same.tar"), "--bundle and --triton are both"),
        (("--max-batch", "4"), "are for an engine"),
        (("--opt-batch", "2"), "are for an engine"),
    ],
)
def test_nothing_is_written(work: Path, flags: tuple[str, ...], message: str) -> None:
    (work / "q/g.onnx").mkdir(parents=True)
    (work / "file").write_text("")
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*")}
    result = run_gantool("export", "g.onnx", "--int8", "--engine", "none", *flags, cwd=work)
    assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*")} == before


def test_recipes_and_patterns_that_leave_nothing(work: Path) -> None:
    (work / "empty.json").write_text('{"format": 1, "low": null, "keep_fp32": {}, "int8": {}}')
    result = run_gantool("export", "g.onnx", "--recipe", "empty.json", "--engine", "none", cwd=work)
    assert (result.returncode, "holds no recipe" in result.stderr) == (1, True)
    result = run_gantool("export", "g.onnx", "--fp16", "--keep-fp32", "*", "--engine", "none", cwd=work)
    assert (result.returncode, "names every layer" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("blocked", "command", "extra"),
    [
        ("torch", ("export", "c.safetensors"), "export"),
        ("torch", ("verify", "c.safetensors", "g.onnx"), "export"),
        ("onnx", ("export", "g.onnx", "--bundle", "b.tar", "--engine", "none"), "export"),
    ],
)
def test_a_missing_package_is_named(
    work: Path, checkpoint: Path, blocked: str, command: tuple[str, ...], extra: str
) -> None:
    (work / "c.safetensors").write_bytes(checkpoint.read_bytes())
    (work / "blocked").mkdir()
    (work / "blocked/sitecustomize.py").write_text(f"import sys\nsys.modules[{blocked!r}] = None\n")
    path = os.pathsep.join([str(work / "blocked"), os.environ.get("PYTHONPATH", "")])
    result = run_gantool(*command, cwd=work, env={"PYTHONPATH": path})
    assert result.returncode == 5, result.stderr
    assert pip_install(extra) in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(work.glob("n*"))


def test_onnxruntime_that_is_missing_is_named(
    work: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = run_gantool("export", checkpoint, "--engine", "none", "-o", "n", cwd=work)
    assert result.returncode == 5, result.stderr
    assert pip_install("cpu") in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(work.glob("n*"))


def test_a_plan_names_the_graph_that_it_was_built_from(work: Path) -> None:
    run_gantool("export", "g.onnx", "--int8", "--engine", "rtx", "-o", "i", cwd=work, check=True)
    (work / "i.fp16.onnx").write_bytes((work / "g.fp16.onnx").read_bytes())
    result = run_gantool("generate", "--engine", "i.rtx.plan", cwd=work)
    if result.returncode == 4:  # no GPU
        assert "gantool generate --engine i.int8.onnx" in result.stderr
