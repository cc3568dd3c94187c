"""gantool as a process: signals inside a library, kill -9, errors that nobody expected, what it leaves at home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from conftest import run_gantool
from field.cases import gantool

GANTOOL = Path(sys.executable).with_name("gantool")


def endless_graph() -> onnx.ModelProto:
    """Return a generator of [N, 3, 4, 4] with a loop that ends in some thousand years."""
    step = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Neg", ["value"], ["next"])],
        "step",
        [
            helper.make_tensor_value_info("index", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N", 48]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["N", 48]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["times", "yes", "z"], ["looped"], body=step),
            helper.make_node("Reshape", ["looped", "shape"], ["images"]),
        ],
        "endless",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 48])],
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 4, 4])],
        [
            numpy_helper.from_array(np.array(2**50), "times"),
            numpy_helper.from_array(np.array(True), "yes"),
            numpy_helper.from_array(np.array([-1, 3, 4, 4], np.int64), "shape"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def used(pid: int) -> float:
    """Return the seconds of CPU time that a process used, with those that it started."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it ended meanwhile
        return 0
    ticks = sum(map(int, fields[11:15]))  # its own, and of children that ended
    return ticks / os.sysconf("SC_CLK_TCK") + sum(used(int(child)) for child in children)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("command", "signals"),
    [
        ("generate -e endless.onnx --seeds 0-999 --format tar", 1),
        ("verify endless.onnx endless.onnx", 1),
        ("export endless.onnx -o h --engine none", 1),
        ("bench endless.onnx", 1),
        (
            "generate -e endless.onnx --provider openvino",
            1,
        ),  # it looks at nothing inside a loop, so it is ended
        ("bench endless.onnx --provider openvino", 1),
    ],
)
def test_a_graph_without_end_is_ended(
    tmp_path: Path, command: str, signals: int, number: signal.Signals
) -> None:
    onnx.save(endless_graph(), tmp_path / "endless.onnx")
    with subprocess.Popen(
        [GANTOOL, *command.split()], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        while used(process.pid) < 1.5:  # seconds: it is in the loop by then, or on the way to it
            assert process.poll() is None
            time.sleep(0.05)
        for _ in range(signals):
            assert process.poll() is None
            process.send_signal(number)
            time.sleep(0.1)
        assert process.stderr
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.endswith("gantool: interrupted\n")
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ["endless.onnx"]


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.25, 0.35, 0.5])
def test_ctrl_c_while_libraries_are_imported(exported: Path, tmp_path: Path, delay: float) -> None:
    ready = "import gantool.__main__, signal, sys; print(flush=True); gantool.__main__.main()"
    command: list[str | Path] = [
        sys.executable,
        "-c",
        ready,
        "verify",
        exported / "g.onnx",
        exported / "g.fp16.onnx",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert "Traceback" not in said or process.returncode == -signal.SIGINT  # before main set its handlers
    if process.returncode != -signal.SIGINT:
        assert (process.returncode, said) in ((130, "gantool: interrupted\n"), (0, ""))


def test_ctrl_c_before_there_is_a_command_line(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    result = subprocess.run(
        [sys.executable, "-m", "gantool", "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (130, "gantool: interrupted\n")


@pytest.mark.parametrize("how", ["tar", "png"])
def test_what_a_killed_run_left_goes_with_the_next(exported: Path, tmp_path: Path, how: str) -> None:
    flags: list[str | Path] = [
        "generate",
        "-e",
        exported / "g.onnx",
        "--format",
        how,
        "--seeds",
        "0-99999999",
    ]
    process = subprocess.Popen([GANTOOL, *flags], cwd=tmp_path)
    folder = tmp_path / "images"
    while not list(folder.glob(".*.part*")):
        assert process.poll() is None
    process.kill()
    process.wait()
    parts = list(folder.glob(".*.part*"))
    alive, other = (
        folder / f".a.{os.getpid()}-1@{parts[0].name.split('@')[1].split('.')[0]}.part.tar"
        if parts
        else folder / ".a",
        folder / ".a.1999999999-1@00000000.part.tar",
    )
    foreign = folder / ".images.part.tar"
    for path in (alive, other, foreign):
        path.touch()
    run_gantool(*flags[:-1], "0-3", "--force", cwd=tmp_path, check=True, process=True)
    assert set(folder.glob(".*")) == {alive, other, foreign}


def test_what_a_killed_export_left_goes_with_the_next(exported: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [
        GANTOOL,
        "export",
        exported / "g.onnx",
        "--fp16",
        "--engine",
        "rtx",
        "-o",
        "h",
    ]
    script = (
        "import os, signal\nfrom gantool.__main__ import main\nfrom gantool.export.artifact import Graph\n"
        "save = Graph.save\n"
        "def dies(*rest):\n    save(*rest)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Graph.save = dies\nmain()\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, *command[1:]], cwd=tmp_path, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".gantool-*/*"))
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert not list(tmp_path.glob(".*"))


def test_what_nobody_expected_is_a_line_and_a_file(exported: Path, tmp_path: Path) -> None:
    script = (
        "import os, sys, gantool.runtime.generate as launch\nfrom gantool.__main__ import main\n"
        "del os.environ['GANTOOL_DEBUG']\n"
        "def fails(*_): raise TypeError('of \\x07 all things')\n"
        "launch.generate = fails\nmain()"
    )
    command: list[str | Path] = [
        sys.executable,
        "-c",
        script,
        "generate",
        "-e",
        exported / "g.onnx",
        "--trunc",
        "0.5",
    ]
    for cache in (tmp_path / "cache", Path("/proc/no")):
        environment = {**os.environ, "GANTOOL_CACHE": str(cache)}
        result = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        start = "gantool: an unexpected error: TypeError: of ? all things; details in "
        assert line.startswith(start)
        assert line.endswith("; please report it with that file")
        details = Path(line.removeprefix(start).partition(";")[0])
        assert details.is_relative_to(cache) == (cache.name == "cache")
        text = details.read_text()
        assert "--trunc 0.5" in text
        assert "in fails" in text
        assert "numpy " in text


def test_two_commands_in_one_process(exported: Path) -> None:
    assert gantool("inspect g.onnx", exported).code == 0
    assert gantool("doctor", exported).code == 0
    assert gantool("inspect g.onnx", exported).code == 0


@pytest.mark.parametrize(
    "command",
    [
        "generate -e g.onnx --seeds 0-99",
        "generate -e g.onnx --seeds 0-99 --provider openvino",
        "export g.onnx --int8 -o h",
        "export g.onnx --lowering auto --fp16 -o h --engine none",
        "bench g.onnx --seconds 0.1 --batch 1",
        pytest.param("doctor --selftest", marks=pytest.mark.slow),
    ],
)
def test_nothing_is_written_at_home(work: Path, tmp_path: Path, command: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"},
        **{"HOME": str(home), "XDG_CACHE_HOME": "", "GANTOOL_CACHE": str(tmp_path / "cache")},
    }
    subprocess.run([GANTOOL, *command.split()], cwd=work, env=environment, capture_output=True, check=False)
    assert not list(home.rglob("*"))


def test_raw_frames_to_a_stdout_that_is_closed(exported: Path, tmp_path: Path) -> None:
    command = f"exec >&-; exec {GANTOOL} generate -e {exported / 'g.onnx'} --seeds 0 -o -"
    result = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False
    )
    assert result.returncode == 2
    assert "stdout, which is closed: give a folder with --out" in result.stderr


def test_a_process_of_gantools_own_ends_with_the_one_that_started_it() -> None:
    start = (
        "import subprocess, time; from gantool.runtime.process.child import python\n"
        "child = subprocess.Popen(python('timeit', '-n', '1', '-r', '1', 'while True: pass'))\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
    while True:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        stat = Path(f"/proc/{child}/stat")
        if stat.exists() and stat.read_text().split()[2] == "Z":  # ended, and nobody asked
            break
        time.sleep(0.1)
