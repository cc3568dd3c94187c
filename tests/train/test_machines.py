"""The recipes of examples/many-machines that train.

Two network namespaces that a virtual cable connects stand for two machines: each has its own addresses and its own
loopback. Making one needs root. Ray's workers are two processes of one machine.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import run_gantool
from helpers.commands import RAY_QUIET
from helpers.examples import EXAMPLES

RECIPES = EXAMPLES / "many-machines"
SMALL = ("--preset", "dcgan16", "--width", "4", "--no-autotune", "--device", "cpu")
LENGTH = ("--kimg", "0.32", "--tick", "0.064")
CABLE = "gantool"  # the interface in both namespaces
HEAD = "10.77.0.1"
# Starts a task on each machine, as SLURM's does, with the variables that SLURM sets.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done  # its own options
node=0
for machine in $MACHINES; do
  SLURM_STEP_ID=0 SLURM_PROCID=$node SLURM_NODEID=$node SLURM_LOCALID=0 ip netns exec $machine "$@" &
  tasks+=($!); node=$((node + 1))
done
for task in ${tasks[@]}; do wait $task || exit; done
"""
COMMANDS = {
    "srun": SRUN,
    "gantool": f'#!/bin/bash\nexec {sys.executable} -m gantool "$@"\n',
    "torchrun": f'#!/bin/bash\nexec {sys.executable} -m torch.distributed.run "$@"\n',
}


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Yield the names of two connected namespaces, 10.77.0.1 and 10.77.0.2."""
    names = (f"gantool-{os.getpid()}-1", f"gantool-{os.getpid()}-2")
    try:
        for name in names:
            if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
                pytest.skip("no rights to make a network namespace")
        cable = ["netns", names[0], "type", "veth", "peer", "name", CABLE, "netns", names[1]]
        ip("link", "add", CABLE, *cable)
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", CABLE)
            for interface in ("lo", CABLE):
                ip("-n", name, "link", "set", interface, "up")
        yield names
    except FileNotFoundError:
        pytest.skip("there is no ip here (iproute2)")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


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
def test_torchrun_on_two_machines_trains_as_one_process_does(shared: Path, machines: tuple[str, str]) -> None:
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
    started = [
        subprocess.Popen(
            ["ip", "netns", "exec", machine, *command],
            cwd=shared,
            env=environment(shared, HEAD=HEAD, RANK=str(rank), GPUS="1"),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, machine in enumerate(machines)
    ]
    texts = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], texts
    assert "and 2 processes" in texts[0]
    assert "tick" not in texts[1]  # one of them speaks
    np.testing.assert_allclose(losses(shared / "runs"), alone(shared), rtol=2e-3)


@pytest.mark.slow
def test_slurm_on_two_machines_trains_as_one_process_does_and_goes_on(
    shared: Path, machines: tuple[str, str]
) -> None:
    of_job = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "gantool-train",
        "SLURM_NNODES": "2",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NODELIST": "10.77.0.[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
        "MACHINES": " ".join(machines),
    }
    recipe = str(RECIPES / "train.sbatch")

    def sbatch(*flags: str, **more: str) -> str:
        env = environment(shared, **of_job, **more)
        result = subprocess.run(
            ["bash", recipe, *flags], cwd=shared, env=env, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stderr

    assert "and 2 processes" in sbatch(*SMALL, *LENGTH, DATA="pictures", BATCH="32")
    np.testing.assert_allclose(losses(shared / "runs"), alone(shared), rtol=2e-3)
    sbatch("--kimg", "0.384", RESUME="1")
    assert len(losses(shared / "runs")) == 6


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
                os.kill(worker, signal.SIGKILL)
                killed = True
    said = "".join(lines)
    if "timed out during startup" in said:
        pytest.skip("this machine is too busy for Ray to start a node within its 30 seconds")
    assert process.returncode == 0, said[-5000:]
    (folder,) = shared.glob("runs-ray/0*")
    begun = re.findall(r"and 2 processes, from ([\d.]+) to 60 kimg", (folder / "log.txt").read_text())
    assert len(begun) == 2
    assert float(begun[0]) == 0 < float(begun[1])
    assert json.loads((folder / "stats.jsonl").read_text().splitlines()[-1])["kimg"] >= 60
