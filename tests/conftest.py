"""What tests share: the command line as a subprocess, a tiny data set, one trained checkpoint, one export."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import settings

from gantool.runtime.backends import providers
from gantool.runtime.process import apart
from helpers.commands import in_this_process
from helpers.once import once, share
from helpers.operators import keep_operators
from helpers.trials import Trials

# How long an example takes says how busy the machine is, not whether it is right.
settings.register_profile("gantool", deadline=None)
settings.load_profile("gantool")

# A shell starts what runs in its background with SIGINT ignored, and nohup with SIGHUP; children inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What nobody expected is a traceback here, not a line and a file.
os.environ["GANTOOL_DEBUG"] = "1"

Run = subprocess.CompletedProcess[str]
Cli = Callable[..., Run]


def run_gantool(
    *arguments: str | Path,
    cwd: Path,
    env: dict[str, str] | None = None,
    check: bool = False,
    process: bool = False,
) -> Run:
    """Run `gantool ARGUMENTS` in `cwd`, as a user would: in this process, or in one of its own.

    Python reads PYTHONPATH when it starts, so an environment with it needs a process of its own.
    """
    words = [str(word) for word in arguments]
    if process or "PYTHONPATH" in (env or {}):
        command = [sys.executable, "-m", "gantool", *words]
        result = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
        )
    else:
        result = Run(words, *in_this_process(words, cwd, env or {}))
    if check:
        assert result.returncode == 0, result.stderr
    return result


def training(*flags: str, cwd: Path, until: str) -> subprocess.Popen[str]:
    """Start `gantool train FLAGS` in `cwd`, and return it when it has printed `until`; stderr goes on in a pipe."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gantool", "train", *flags], cwd=cwd, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    while until not in process.stderr.readline():
        assert process.poll() is None
    return process


@pytest.fixture(scope="session", autouse=True)
def tiny_data(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """Put 200 small images where `gantool train` looks for Fashion-MNIST, and the cache into a new folder."""
    os.environ["GANTOOL_CACHE"] = str(share(tmp_path_factory, pytestconfig) / "cache")
    os.environ["GANTOOL_DATA"] = str(once("data", _boxes))
    return Path(os.environ["GANTOOL_DATA"])


def _boxes(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = np.zeros((200, 28, 28), np.uint8)
    for image in images:  # a bright box each
        top, left = rng.integers(2, 12, 2)
        height, width = rng.integers(6, 14, 2)
        image[top : top + height, left : left + width] = rng.integers(100, 255)
    header = struct.pack(">4I", 0x803, *images.shape)
    folder.mkdir()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which a tiny generator was trained: runs/00000-fashion-mnist-dcgan32/."""

    def train(folder: Path) -> None:
        folder.mkdir()
        flags = ("--no-autotune", "--width", "8", "--kimg", "1", "--tick", "0.25", "--snap", "2")
        run_gantool("train", *flags, cwd=folder, check=True)

    return shutil.copytree(once("trained", train), tmp_path_factory.mktemp("own") / "trained")


@pytest.fixture(scope="session")
def checkpoint(trained: Path) -> Path:
    """Return the checkpoint of the tiny generator."""
    return trained / "runs/00000-fashion-mnist-dcgan32/generator.safetensors"


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with g.onnx, g.fp16.onnx, g.rtx.plan and its sidecar."""

    def export(folder: Path) -> None:
        run_gantool("export", "--fp16", "-o", folder / "g", "--engine", "rtx", cwd=trained, check=True)

    return shutil.copytree(once("exported", export), tmp_path_factory.mktemp("own") / "exported")


@pytest.fixture(scope="session", autouse=True)
def _no_intel() -> Iterator[None]:
    """Take ONNX Runtime in this process on all CPUs: on Intel's, auto takes OpenVINO, and many compute in BF16."""
    with patch.object(providers, "_is_intel", return_value=False):
        yield


@pytest.fixture(autouse=True)
def _operators() -> None:
    keep_operators()


@pytest.fixture(scope="session", autouse=True)
def _trials() -> Iterator[None]:
    """Try graphs in forks; test_apart.py has gantool start its own processes."""
    with closing(Trials()) as forks, patch.object(apart, "subprocess", forks):
        yield


@pytest.fixture
def work(exported: Path, tmp_path: Path) -> Path:
    """Return a new folder with a copy of the export, to do damage in."""
    return shutil.copytree(exported, tmp_path / "work")
