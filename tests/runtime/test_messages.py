"""What a command tells of its work: progress on a terminal, --quiet, --verbose, and nothing from library code."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from conftest import run_gantool
from gantool import Generator
from gantool.runtime.generate import generate
from gantool.runtime.progress import task, track
from gantool.runtime.request import Request
from helpers.commands import on_a_terminal


def test_a_terminal_shows_the_rate_and_the_time_left(exported: Path, tmp_path: Path) -> None:
    code, out, shown = on_a_terminal("generate", exported / "g.onnx", "--seeds", "0-999", folder=tmp_path)
    assert (code, out) == (0, "1,000 images of 32×32×1 in images\n")
    assert "generating" in shown
    assert " images/s" in shown
    assert shown.endswith("\x1b[2K")  # the bar is cleared in the end
    code, out, shown = on_a_terminal("generate", exported / "g.onnx", "--quiet", folder=tmp_path)
    assert (code, out.startswith("64 images of 32×32×1 in images2"), shown) == (0, True, "")


def test_names_and_rows_are_left_as_they_are_beside_a_bar(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "g.a:100:b.onnx").write_bytes((exported / "g.onnx").read_bytes())
    _, _, shown = on_a_terminal("generate", folder=tmp_path)
    assert "g.a:100:b.onnx, the newest engine" in shown
    code, out, _ = on_a_terminal("bench", "--batch", "1", "--seconds", "0.05", folder=tmp_path)
    assert (code, out.count("g.a:100:b.onnx")) == (0, 2)  # the row, and the command


def test_a_command_leaves_logging_as_it_was(exported: Path, tmp_path: Path) -> None:
    logger = logging.getLogger("gantool.runtime.generator")
    before = logger.isEnabledFor(logging.DEBUG), logger.isEnabledFor(logging.INFO)
    for flag in ("-v", "-q"):
        run_gantool("generate", flag, exported / "g.onnx", "--seeds", "0", cwd=tmp_path, check=True)
        assert (logger.isEnabledFor(logging.DEBUG), logger.isEnabledFor(logging.INFO)) == before


def test_quiet_leaves_warnings_and_errors(exported: Path, tmp_path: Path) -> None:
    engine = exported / "g.onnx"
    result = run_gantool("generate", "-q", engine, "--trunc", "0", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (
        0,
        "note: with --trunc 0 the images of all seeds are the same\n",
    )
    result = run_gantool("generate", "-q", "missing.onnx", cwd=tmp_path)
    assert (result.returncode, "missing.onnx" in result.stderr) == (1, True)
    (tmp_path / "g.onnx").write_bytes(engine.read_bytes())
    assert "the newest engine here" in run_gantool("generate", cwd=tmp_path).stderr
    assert run_gantool("generate", "--quiet", cwd=tmp_path).stderr == ""


def test_verbose_says_when_and_where(exported: Path, tmp_path: Path) -> None:
    result = run_gantool("generate", "-v", exported / "g.onnx", cwd=tmp_path, check=True)
    assert " s runtime.generator: " in result.stderr
    assert "runs on ONNX Runtime, CPU" in result.stderr
    both = run_gantool("generate", "-q", "-v", exported / "g.onnx", cwd=tmp_path)
    assert (both.returncode, both.stderr) == (
        2,
        "gantool: --quiet and --verbose contradict each other: give one of them\n",
    )


@pytest.mark.parametrize("command", ["train", "export", "generate", "evaluate", "inspect", "cache"])
def test_every_command_has_both(command: str, tmp_path: Path) -> None:
    text = run_gantool(command, "--help", cwd=tmp_path, check=True).stdout
    assert "-q, --quiet" in text
    assert "-v, --verbose" in text


def test_library_code_prints_nothing(
    exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gantool"), Generator.load(exported / "g.onnx") as generator:
        generator.images(range(2))
        made = generate(exported / "g.onnx", Request(seeds="0-4", out=tmp_path / "images", grid="2x2"))
    assert (made.images, made.folder, made.sheet) == (5, tmp_path / "images", tmp_path / "images/grid.png")
    with task("nobody looks", 2) as running:
        running.update(1)
    assert list(track("ab", "nobody looks", 2)) == ["a", "b"]
    assert capfd.readouterr() == ("", "")
