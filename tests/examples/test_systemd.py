"""examples/systemd: systemd understands the unit, finds it safe, and what it starts serves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from gantool.runtime.errors import EngineMismatchError, MissingDependencyError, UsageError
from gantool.runtime.serve.options import ServeOptions
from helpers.examples import EXAMPLES
from helpers.serving import graph_of, started

UNIT = (EXAMPLES / "systemd/gantool@.service").read_text(encoding="utf-8")
SETTINGS = dict(re.findall(r"^(\w+)=(.*)$", UNIT, re.MULTILINE))  # of several, the last one
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")


def analyzed(folder: Path, *command: str) -> str:
    """Return what systemd-analyze says of the instance `faces`, whose program is a file that exists here."""
    unit = folder / "gantool@faces.service"
    unit.write_text(UNIT.replace("/opt/gantool/bin/gantool", sys.executable), encoding="utf-8")
    words = ["systemd-analyze", *command, str(unit)]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout


@needs_systemd
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyzed(tmp_path, "verify")


@needs_systemd
def test_systemd_finds_that_it_may_do_little(tmp_path: Path) -> None:
    exposure = re.search(
        r"exposure level for \S+: ([\d.]+)", analyzed(tmp_path, "security", "--offline=true")
    )
    assert exposure
    assert float(exposure[1]) < 2  # of 10


def test_what_it_starts_serves(tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    program, command, engine, *flags = SETTINGS["ExecStart"].split()
    assert (program, command, engine) == ("/opt/gantool/bin/gantool", "serve", "/opt/gantool/%i.onnx")
    flags.remove("${PORT}")
    flags.remove("--port")
    with (
        started(tmp_path, str(graph_of("fp32", tmp_path)), *flags) as (_, port),
        urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as answer,
    ):
        assert answer.status == 200


def test_it_waits_for_answers_and_does_not_restart_what_cannot_work() -> None:
    assert int(SETTINGS["TimeoutStopSec"]) > ServeOptions().timeout
    useless = (UsageError, EngineMismatchError, MissingDependencyError)
    codes = SETTINGS["RestartPreventExitStatus"].split()
    assert [int(code) for code in codes] == [error.exit_code for error in useless]
