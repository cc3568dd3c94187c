"""Whatever a file or its name holds, nothing reaches the terminal that it would obey."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from field.cases import gantool
from gantool.runtime.artifacts.sidecar import sidecar_path
from gantool.runtime.process.terminal import bare, guarded

# Colours, the title of the window, C1 forms of the same, back, delete, and what turns the direction of writing.
NASTY = "\x1b[31m\x1b]0;title\x07\x9b31m\x9d\x08\x7f\r\x0b\u202e\u2066\u200f\u2028"
TEXTS = st.text(st.sampled_from([*NASTY, *"ab1×"]), min_size=1, max_size=12).map(
    lambda text: f"{text}\x1b[5m"
)


NAMES = ("\x1b[31mred.onnx", "\u202egpj.onnx", "tab\x9b2J.onnx")


def obeyed(text: str) -> list[str]:
    """Return the characters that a terminal does not show as they are."""
    return [
        letter
        for letter in text
        if letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")
    ]


def assert_tame(command: list[str], folder: Path) -> str:
    answer = gantool(command, folder)
    assert not obeyed(answer.out + answer.err), (command, answer)
    assert answer.out + answer.err
    return answer.out


@settings(max_examples=8)
@given(TEXTS, TEXTS)
def test_texts_of_a_graph(exported: Path, text: str, key: str) -> None:
    folder = exported.parent / "graph-of-escapes"
    folder.mkdir(exist_ok=True)
    graph = onnx.load(exported / "g.onnx")
    graph.graph.node[0].name = text
    properties = {entry.key: entry for entry in graph.metadata_props}
    metadata = json.loads(properties["gantool"].value)
    properties["gantool"].value = json.dumps({**metadata, key: text, "classes": text})
    onnx.save(graph, folder / "g.onnx")
    for command in ("inspect g.onnx", "generate -e g.onnx --seeds 0", "export g.onnx --fp16 --engine none"):
        assert_tame(command.split(), folder)
    graph.graph.output[0].name = text
    onnx.save(graph, folder / "g.onnx")
    for command in (
        "inspect g.onnx",
        "generate -e g.onnx --seeds 0",
        "generate -e g.onnx --provider openvino",
    ):
        assert_tame(command.split(), folder)


@settings(max_examples=8)
@given(TEXTS, TEXTS)
def test_texts_of_a_checkpoint(exported: Path, text: str, key: str) -> None:
    folder = exported.parent / "checkpoint-of-escapes"
    folder.mkdir(exist_ok=True)
    weights = {key: np.zeros(2, np.float32)}
    save_file(
        weights, folder / "c.safetensors", {"gantool": json.dumps({"format": text, "config": {key: text}})}
    )
    for command in ("inspect c.safetensors", "export c.safetensors --engine none"):
        assert_tame(command.split(), folder)


@settings(max_examples=8)
@given(TEXTS)
def test_texts_of_a_sidecar(exported: Path, text: str) -> None:
    folder = exported.parent / "sidecar-of-escapes"
    shutil.copytree(exported, folder, dirs_exist_ok=True)
    path = sidecar_path(folder / "g.rtx.plan")
    sidecar = json.loads(path.read_text())
    layer = {**sidecar["receipt"]["layers"][0], "name": text}
    receipt = {**sidecar["receipt"], "layers": [layer], "source": text}
    path.write_text(json.dumps({**sidecar, "metadata": {text: text}, "receipt": receipt, "batch": {text: 1}}))
    assert_tame(["inspect", "g.rtx.plan"], folder)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files(exported: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(exported / "g.onnx", tmp_path / name)
    for command in (
        ["inspect", name],
        ["generate", "-e", name, "--seeds", "0"],
        ["verify", name, name],
    ):
        assert_tame(command, tmp_path)
    (tmp_path / name).write_bytes(b"\x08\x08junk")
    for command in (["inspect", name], ["generate", "-e", name], ["bench", name], ["export", name]):
        assert_tame(command, tmp_path)


def test_names_of_files_that_doctor_lists(exported: Path, tmp_path: Path) -> None:
    for name in (*NAMES, "g.onnx"):
        shutil.copy(exported / "g.onnx", tmp_path / name)
    text = assert_tame(["doctor"], tmp_path)
    assert "g.onnx: runs here\n    gantool generate --engine g.onnx" in text


def test_a_bar_of_gantool_itself_passes() -> None:
    terminal = io.StringIO()
    before, sys.stderr = sys.stderr, terminal
    try:
        with guarded():
            print("\x1b[31m", file=sys.stderr)
            bare(sys.stderr).write("\x1b[32m")
    finally:
        sys.stderr = before
    assert terminal.getvalue() == "?[31m\n\x1b[32m"


@pytest.mark.parametrize(
    ("encoding", "command"),
    [
        ("ascii", "generate -e g.onnx --seeds 0"),
        ("cp437", "generate -e g.onnx --seeds 0"),
        ("ascii", "inspect g.onnx"),
    ],
)
def test_a_terminal_without_the_sign_for_times(work: Path, encoding: str, command: str) -> None:
    gantool = Path(sys.executable).with_name("gantool")
    result = subprocess.run(
        ["env", f"PYTHONIOENCODING={encoding}", gantool, *command.split()],
        cwd=work,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0
    assert b"Traceback" not in result.stderr
