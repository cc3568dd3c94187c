"""The recipes of examples/many-machines that train.

Two network namespaces that a virtual cable connects stand for two machines: each has its own addresses and its own
loopback. Making one needs root. SLURM runs on them. Ray's workers are two processes of one machine.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import run_gantool
from helpers.commands import RAY_QUIET
from helpers.examples import EXAMPLES
from helpers.slurm import ADDRESSES, CABLE, machines, slurm

RECIPES = EXAMPLES / "many-machines"
SMALL = ("--preset", "dcgan16", "--width", "4", "--no-autotune", "--device", "cpu")
LENGTH = ("--kimg", "0.32", "--tick", "0.064")
COMMANDS = {
    "gantool": f'#!/bin/bash\nexec {sys.executable} -m gantool "$@"\n',
    "torchrun": f'#!/bin/bash\nexec {sys.executable} -m torch.distributed.run "$@"\n',
}


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Return a folder that all machines share, with images and the commands in bin/."""
    (tmp_path / "bin").mkdir()
    for name, text in COMMANDS.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "pictures").mkdir()
    random = np.random.RandomState(0)
    for number in range(128):
        pixels = random.randint(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"pictures/{number}.png")
    return tmp_path


def environment(shared: Path, **more: str) -> dict[str, str]:
    path = f"{shared / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": CABLE, **more}


def losses(folder: Path) -> np.ndarray:
    (path,) = folder.glob("*/stats.jsonl")
    lines = map(json.loads, path.read_text().splitlines())
    return np.array([[line["loss_d"], line["loss_g"]] for line in lines])


def alone(shared: Path) -> np.ndarray:
    """Return the losses of one process."""
    flags = (*SMALL, *LENGTH, "--data", "pictures", "--batch", "32", "--outdir", "alone")
    run_gantool("train", *flags, cwd=shared, check=True)
    return losses(shared / "alone")


@pytest.mark.slow
def test_torchrun_on_two_machines_trains_as_one_process_does(shared: Path) -> None:
    command = [
        "bash",
        str(RECIPES / "train-torchrun.sh"),
        *SMALL,
        *LENGTH,
        "--data",
        "pictures",
        "--batch",
        "32",
    ]
    with machines() as names:
        started = [
            subprocess.Popen(
                ["ip", "netns", "exec", machine, *command],
                cwd=shared,
                env=environment(shared, HEAD=ADDRESSES[0], RANK=str(rank), GPUS="1"),
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank, machine in enumerate(names)
        ]
        texts = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], texts
    assert "and 2 processes" in texts[0]
    assert "tick" not in texts[1]  # one of them speaks
    np.testing.assert_allclose(losses(shared / "runs"), alone(shared), rtol=2e-3)


@pytest.mark.slow
def test_slurm_on_two_machines_trains_as_one_process_does_and_goes_on(shared: Path) -> None:
    lines = (RECIPES / "train.sbatch").read_text().splitlines(keepends=True)
    (shared / "train.sbatch").write_text("".join(line for line in lines if "--gpus-per-node" not in line))
    more = {"GLOO_SOCKET_IFNAME": CABLE, "DATA": "pictures", "BATCH": "32"}
    with slurm(shared / "bin") as cluster:

        def sbatch(*flags: str, **environment: str) -> str:
            size = ("--ntasks-per-node=1", "--cpus-per-task=1")
            return cluster(
                "sbatch", "--parsable", *size, "train.sbatch", *flags, cwd=shared, **more, **environment
            )

        job = sbatch(*SMALL, *LENGTH)
        cluster.wait(job, shared)
        said = (shared / f"gantool-train-{job}.log").read_text()
        assert "and 2 processes" in said
        np.testing.assert_allclose(losses(shared / "runs" / job), alone(shared), rtol=2e-3, err_msg=said)

        (run,) = shared.glob(f"runs/{job}/0*")
        cluster.wait(sbatch("--kimg", "0.384", RESUME=str(run)), shared)
        assert len(losses(shared / "runs" / job)) == 6

        job = sbatch(*SMALL, "--kimg", "1000", "--tick", "0.064")
        log = shared / f"gantool-train-{job}.log"
        while not log.exists() or "tick 3" not in log.read_text():
            assert cluster.states(job, shared), log.read_text()
            time.sleep(0.2)
        cluster("sbatch", "--partition=urgent", "--nodes=2", "--wrap=true", "--exclusive", cwd=shared)
        while "interrupted at" not in log.read_text():
            assert cluster.states(job, shared), log.read_text()
            time.sleep(0.2)
        seen = len(losses(shared / "runs" / job))
        while len(losses(shared / "runs" / job)) == seen:
            states = cluster.states(job, shared)
            assert states, log.read_text()
            if "PENDING" in states:
                cluster.start(job, shared)
            time.sleep(0.2)
        cluster("scancel", job, cwd=shared)
        cluster.wait(job, shared)


@pytest.mark.slow
def test_ray_train_goes_on_when_a_worker_is_killed(shared: Path) -> None:
    command = [sys.executable, "-u", str(RECIPES / "train_ray.py"), "--preset", "dcgan16", "--batch", "512"]
    lines, worker, killed = [], 0, False
    with subprocess.Popen(
        [*command, "--kimg", "60", "--data", "pictures"],
        cwd=shared,
        # a cluster of its own: by itself, Ray joins one that another test has started
        env={**os.environ, **RAY_QUIET, "RAY_ADDRESS": "local", "HOME": str(shared)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"pid=(\d+)\) world_rank=1", line):
                worker = int(found[1])
            elif "tick" in line and not killed and [*shared.glob("runs-ray/*/training_state.pt")]:
                assert worker, "".join(lines)  # 0 would be all processes of these tests
                os.kill(worker, signal.SIGKILL)
                killed = True
    said = "".join(lines)
    if "timed out during startup" in said:
        pytest.skip("this machine is too busy for Ray to start a node within its 30 seconds")
    assert process.returncode == 0, said[-5000:]
    assert killed, "it ended before it saved its state"
    (folder,) = shared.glob("runs-ray/0*")
    begun = re.findall(r"and 2 processes, from ([\d.]+) to 60 kimg", (folder / "log.txt").read_text())
    assert len(begun) == 2
    assert float(begun[0]) == 0 < float(begun[1])
    assert json.loads((folder / "stats.jsonl").read_text().splitlines()[-1])["kimg"] >= 60
