"""The recipes of examples/many-machines that generate: what a scheduler would start is started here by hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from helpers.commands import needed
from helpers.examples import EXAMPLES
from helpers.tiny import tiny_graph

yaml = pytest.importorskip("yaml")  # without type information
RECIPES = EXAMPLES / "many-machines"
SHARDS = 16
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done  # its own options
exec "$@"
"""
GANTOOL = f"""#!/bin/bash
exec {sys.executable} -m gantool "$@"
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """Return a folder with an engine, and commands in bin/: gantool, and srun without SLURM."""
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    (tmp_path / "bin").mkdir()
    for name, text in (("srun", SRUN), ("gantool", GANTOOL)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def run(cluster: Path, *command: str | Path, **env: str) -> str:
    """Run a command as a user would who has `env` in the environment; return its stdout."""
    path = f"{cluster / 'bin'}{os.pathsep}{os.environ['PATH']}"
    known = {**os.environ, "PATH": path, "SEEDS": "0-99", **env}
    result = subprocess.run(command, cwd=cluster, env=known, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def made(cluster: Path) -> list[int]:
    """Return the seeds in all tars, sorted."""
    found = []
    for path in (cluster / "images").iterdir():
        with tarfile.open(path) as tar:
            found += [int(name[4:8]) for name in tar.getnames() if name.endswith(".png")]
    return sorted(found)


def of_shards(*numbers: int) -> list[int]:
    return [seed for seed in range(100) if seed % SHARDS + 1 in numbers]


def test_an_array_of_slurm(cluster: Path) -> None:
    recipe = RECIPES / "generate.sbatch"
    text = recipe.read_text()
    assert f"#SBATCH --array=1-{SHARDS}\n" in text
    assert f"\nSHARDS={SHARDS}\n" in text
    for index in ("3", "16"):
        run(cluster, "bash", recipe, SLURM_ARRAY_TASK_ID=index, SLURM_CPUS_PER_TASK="2")
    assert made(cluster) == of_shards(3, 16)
    # a part of the array again, which SLURM counts as an array of one
    one = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "1"}
    assert "7 of them were already there" in run(cluster, "bash", recipe, **one)
    assert made(cluster) == of_shards(3, 16)


def test_an_indexed_job_of_kubernetes(cluster: Path) -> None:
    spec = yaml.safe_load((RECIPES / "generate-job.yaml").read_text())["spec"]
    assert (spec["completionMode"], spec["completions"]) == ("Indexed", SHARDS)
    (container,) = spec["template"]["spec"]["containers"]
    (script,) = container["args"]
    assert f"/{SHARDS}" in script
    assert not re.search(r"\$\(\w+\)", script)  # Kubernetes would replace it, before the shell does
    for index in ("0", "15"):
        run(cluster, *container["command"], script, JOB_COMPLETION_INDEX=index)
    assert made(cluster) == of_shards(1, 16)


def test_the_exit_codes_that_kubernetes_does_not_retry() -> None:
    from gantool import EngineMismatchError, MissingDependencyError, UsageError

    job = yaml.safe_load((RECIPES / "generate-job.yaml").read_text())
    rules = job["spec"]["podFailurePolicy"]["rules"]
    (codes,) = [rule["onExitCodes"]["values"] for rule in rules if "onExitCodes" in rule]
    assert codes == [error.exit_code for error in (UsageError, EngineMismatchError, MissingDependencyError)]


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["parallel", "xargs"])
def test_processes_of_one_machine(tool: str, cluster: Path) -> None:
    needed(tool)
    run(cluster, "bash", RECIPES / f"generate-{tool}.sh", JOBS="2")
    assert made(cluster) == list(range(100))
