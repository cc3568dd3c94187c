"""Several processes that share a run, started by gantool and by torchrun; they talk by gloo on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from conftest import Run, run_gantool, training
from gantool.models import load_checkpoint
from gantool.train.distributed import single_device

SMALL = ("--preset", "dcgan16", "--width", "4", "--batch", "32", "--no-autotune", "--tick", "0.064")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gantool")


def torchrun(*arguments: str, cwd: Path) -> Run:
    return subprocess.run(
        [sys.executable, *TORCHRUN, *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def losses(folder: Path) -> np.ndarray:
    (path,) = folder.glob("runs/*/stats.jsonl")
    lines = map(json.loads, path.read_text().splitlines())
    return np.array([[line["loss_d"], line["loss_g"]] for line in lines])


def two_processes(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Return a run that has begun, and the number of the process that it started."""
    process = training(*SMALL, "--devices", "2", "--kimg", "100000", cwd=folder, until="tick 2")
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return process, int(child)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path / "one", tmp_path / "two"


def test_two_processes_train_as_one_does(folders: tuple[Path, Path]) -> None:
    """The discriminator's batch normalization, its penalty through it, and the distance over all processes."""
    one, two = folders
    flags = ("train", *SMALL, "--kimg", "0.32", "--r1", "1", "--lr", "0.002", "--metric-every", "0.32")
    run_gantool(*flags, cwd=one, check=True)
    shared = run_gantool(*flags, "--devices", "2", cwd=two, check=True, process=True)
    assert "and 2 processes" in shared.stderr
    assert shared.stderr.count("tick 5") == 1  # one of them speaks
    busy = "warning: the machine is busy"  # which is no fault of the run
    assert not [line for line in shared.stderr.splitlines() if "warn" in line.lower() and busy not in line]
    np.testing.assert_allclose(losses(two), losses(one), rtol=2e-3)
    assert np.ptp(losses(one)[:, 0]) > 0.02  # they are not the same from the start
    distances = [
        json.loads(next(folder.glob("runs/*/metric-classifier.jsonl")).read_text())["fd"]
        for folder in folders
    ]
    assert distances[1] == pytest.approx(distances[0], rel=0.02)
    assert len(list(two.glob("runs/*"))) == 1


@pytest.mark.slow
def test_a_resumed_run_of_two_processes_equals_an_unbroken_one(folders: tuple[Path, Path]) -> None:
    whole, broken = folders
    flags = ("train", *SMALL, "--mirror", "--augment", "ada")
    result = torchrun(*flags, "--kimg", "0.48", cwd=whole)
    assert result.returncode == 0, result.stderr
    assert torchrun(*flags, "--kimg", "0.224", cwd=broken).returncode == 0
    assert torchrun("train", "--resume", "latest", "--kimg", "0.48", cwd=broken).returncode == 0
    a, b = (load_file(next(folder.glob("runs/*/generator.safetensors"))) for folder in folders)
    for name in a:
        assert torch.equal(a[name], b[name]), name
    # and one process can go on where two were
    run_gantool("train", "--resume", "latest", "--kimg", "0.6", cwd=broken, check=True, process=True)


def test_a_killed_process_ends_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    process, child = two_processes(tmp_path)
    os.kill(child, signal.SIGKILL)
    _, rest = process.communicate()
    assert process.returncode == 1
    assert "process 0 of 2: another process of the run is gone; the generator of kimg" in rest
    assert "Traceback" not in rest
    (checkpoint,) = tmp_path.glob("runs/*/generator.safetensors")
    assert load_checkpoint(checkpoint).metadata.images_seen >= 128


def test_ctrl_c_of_one_process_stops_all_and_saves(tmp_path: Path) -> None:
    process, child = two_processes(tmp_path)
    os.kill(child, signal.SIGINT)
    _, rest = process.communicate()
    assert process.returncode == 130
    assert rest.count("interrupted at") == 1
    (state,) = tmp_path.glob("runs/*/training_state.pt")
    assert len(torch.load(state, weights_only=True)["random"]) == 2


def test_what_all_processes_meet_is_said_once(tmp_path: Path) -> None:
    result = run_gantool("train", *SMALL, "--data", "nowhere", "--devices", "2", cwd=tmp_path, process=True)
    assert result.returncode in (1, 2)
    assert result.stderr.count("nowhere") == 1
    assert "is gone" not in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()


JOINED = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}  # as torchrun sets them


@pytest.mark.parametrize(
    ("flags", "env", "says"),
    [
        (
            "--batch 15 --devices 2",
            {},
            "--batch 15 for 2 processes: give a multiple of 2, at least 4",
        ),
        (
            "--devices 100000",
            {},
            "for 100000 processes: give a multiple of 100000, at least 200000",
        ),
        (
            "--device cuda:1 --devices 2",
            {},
            "--device cuda:1 is one device, --devices 2 asks for more: give --device cuda",
        ),
        ("--nodes 2", {}, "--nodes 2: start it with torchrun or SLURM, or give MASTER_ADDR"),
        (
            "--devices 1",
            JOINED,
            "torchrun started 2 processes a machine, on 1: leave --devices and --nodes out",
        ),
    ],
    ids=["batch", "many", "one device", "machines", "torchrun"],
)
def test_what_is_refused_before_a_process_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, env: dict[str, str], says: str
) -> None:
    monkeypatch.setattr(Fabric, "launch", lambda _: pytest.fail("processes were started"))
    result = run_gantool("train", *SMALL, *flags.split(), cwd=tmp_path, env=env)
    assert result.returncode == 2
    assert result.stderr.count(says) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_torchrun_and_the_flags_must_agree(tmp_path: Path) -> None:
    result = torchrun("train", *SMALL, "--devices", "1", cwd=tmp_path)
    assert result.returncode != 0
    assert "torchrun started 2 processes a machine, on 1: leave --devices and --nodes out" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_waiting_for_another_machine_can_be_ended(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    command = [sys.executable, "-m", "gantool", "train", *SMALL, "--nodes", "2"]
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **address}) as process:
        while True:
            with socket.socket() as other:
                if not other.connect_ex(("127.0.0.1", port)):
                    break
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM


def test_an_installed_slurm_is_nothing_to_warn_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        single_device("cpu")
