"""The recipes of examples/many-machines that generate: what a scheduler would start is started here by hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from helpers.commands import needed
from helpers.examples import EXAMPLES
from helpers.slurm import slurm
from helpers.tiny import tiny_graph

yaml = pytest.importorskip("yaml")  # without type information
RECIPES = EXAMPLES / "many-machines"
SHARDS = 16
COUNT = SHARDS * 10_000  # images
GANTOOL = f"""#!/bin/bash
exec {sys.executable} -m gantool "$@"
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """Return a folder with an engine, and gantool in bin/."""
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gantool").write_text(GANTOOL)
    (tmp_path / "bin/gantool").chmod(0o755)
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
            found += [int(Path(name).stem[4:]) for name in tar.getnames() if name.endswith(".png")]
    return sorted(found)


def of_shards(*numbers: int) -> list[int]:
    return [seed for seed in range(100) if seed % SHARDS + 1 in numbers]


@pytest.mark.slow
def test_an_array_of_slurm(cluster: Path) -> None:
    text = (RECIPES / "generate.sbatch").read_text()
    assert f"#SBATCH --array=1-{SHARDS}\n" in text
    assert f"\nSHARDS={SHARDS}\n" in text
    text = re.sub(r"#SBATCH --gres.*\n", "", text)  # no GPU, and tars that are whole long before their shard
    (cluster / "generate.sbatch").write_text(text.replace("--format tar", "--format tar --shard-size 1000"))
    with slurm(cluster / "bin") as scheduler:

        def sbatch(*flags: str) -> str:
            command = ("sbatch", "--parsable", "--cpus-per-task=1", *flags, "generate.sbatch")
            return scheduler(*command, cwd=cluster, SEEDS=f"0-{COUNT - 1}")

        job = sbatch()
        while not [*cluster.glob("images/images-*.tar")]:
            assert scheduler.states(job, cluster), (cluster / "gantool-images-1.log").read_text()
            time.sleep(0.1)
        scheduler("scancel", f"{job}_3", cwd=cluster)
        urgent = ("--partition=urgent", "--nodes=2", "--exclusive", "--wrap=true")
        scheduler("sbatch", *urgent, cwd=cluster)  # the tasks that run start again after it
        scheduler.wait(job, cluster)
        logs = [path.read_text() for path in cluster.glob("gantool-images-*.log")]
        assert any("DUE TO PREEMPTION" in log for log in logs)
        assert any(re.search(r" [1-9][\d,]* of them were already there", log) for log in logs)
        scheduler.wait(sbatch("--array=3,7"), cluster)
        assert made(cluster) == list(range(COUNT))
        log = (cluster / "gantool-images-7.log").read_text()
        assert f"{COUNT // SHARDS:,} of them were already there" in log


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
