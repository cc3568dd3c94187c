"""Two machines: network namespaces that a virtual cable connects. And SLURM itself on them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.commands import needed

CABLE = "gantool"  # the interface of both
ADDRESSES = ("10.77.0.1", "10.77.0.2")
_CPUS = 8  # that each machine claims to have
# A second partition, whose jobs take the machines from those of the first.
_CONFIG = """
ClusterName=gantool
SlurmctldHost={host}({head})
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
NodeName={nodes} NodeHostname={host} NodeAddr={nodes} CPUs={cpus}
PartitionName=main Nodes=ALL Default=YES PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=2
"""


@contextmanager
def machines() -> Iterator[tuple[str, str]]:
    """Yield the names of two connected namespaces with ADDRESSES. Skips the test without root or iproute2."""
    names = (f"gantool-{os.getpid()}-1", f"gantool-{os.getpid()}-2")
    try:
        for name in names:
            if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
                pytest.skip("no rights to make a network namespace")
        _ip("link", "add", CABLE, "netns", names[0], "type", "veth", "peer", "name", CABLE, "netns", names[1])
        for name, address in zip(names, ADDRESSES, strict=True):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", CABLE)
            for interface in ("lo", CABLE):
                _ip("-n", name, "link", "set", interface, "up")
        yield names
    except FileNotFoundError:
        pytest.skip("there is no ip here (iproute2)")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@dataclass(frozen=True)
class Slurm:
    """A cluster of two machines."""

    head: list[str]  # runs a command on the first machine
    environment: dict[str, str]

    def __call__(self, *command: str | Path, cwd: Path, **more: str) -> str:
        """Run a command of SLURM on the first machine, and return its stdout."""
        words, environment = [*self.head, *map(str, command)], {**self.environment, **more}
        result = subprocess.run(
            words, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return result.stdout.strip()

    def states(self, job: str, cwd: Path) -> list[str]:
        """Return the state of each task of a job that has not ended: PENDING, RUNNING, COMPLETING."""
        return self("squeue", "--noheader", "--array", "--format=%T", "--jobs", job, cwd=cwd).split()

    def start(self, job: str, cwd: Path) -> None:
        """Let tasks that were preempted start again at once, not after two minutes."""
        with suppress(subprocess.CalledProcessError):  # some of the tasks have ended
            self("scontrol", "update", f"JobId={job}", "StartTime=now", cwd=cwd)

    def wait(self, job: str, cwd: Path) -> None:
        """Return when all tasks of a job have ended."""
        while states := self.states(job, cwd):
            if "PENDING" in states:
                self.start(job, cwd)
            time.sleep(0.5)


@contextmanager
def slurm(folder: Path, commands: Path) -> Iterator[Slurm]:
    """Start SLURM on two machines, with `commands` first in the PATH. Skips the test where it cannot run."""
    for name in ("munged", "slurmctld", "slurmd"):
        needed(name)
    with machines() as names, ExitStack() as started:
        environment = {
            **os.environ,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "SLURM_CONF": str(_configured(folder)),
            "OMP_NUM_THREADS": "1",
        }
        on = [["nsenter", f"--net=/run/netns/{name}"] for name in names]  # ip netns exec hides the cgroups
        log = started.enter_context((folder / "daemons.log").open("ab"))
        daemons = []
        for command in (
            [
                "munged",
                "--foreground",
                "--force",
                *_munge(folder),
            ],  # although no other user may use its socket
            [*on[0], "slurmctld", "-D"],
            *([*place, "slurmd", "-D", "-N", name] for place, name in zip(on, ADDRESSES, strict=True)),
        ):
            daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            started.callback(_end, daemons[-1])
        cluster = Slurm(on[0], environment)
        while not _ready(cluster):
            if any(each.poll() is not None for each in daemons):
                pytest.skip(f"SLURM does not start here: {(folder / 'daemons.log').read_text()[-1000:]}")
            time.sleep(0.5)
        yield cluster


def _munge(folder: Path) -> Iterator[str]:
    """Yield the options that place all files of munge in a folder."""
    for option in ("key-file", "socket", "pid-file", "log-file", "seed-file"):
        yield f"--{option}={folder}/munge.{option.partition('-')[0]}"


def _configured(folder: Path) -> Path:
    """Write the files of SLURM and munge; return the path of slurm.conf."""
    (folder / "state").mkdir(parents=True)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    text = _CONFIG.format(
        host=socket.gethostname(), head=ADDRESSES[0], nodes=",".join(ADDRESSES), folder=folder, cpus=_CPUS
    )
    path = folder / "slurm.conf"
    path.write_text(text)
    return path


def _ready(cluster: Slurm) -> bool:
    command = [*cluster.head, "sinfo", "--noheader", "--partition=main", "--format=%T %D"]
    found = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=False)
    return found.stdout.strip() == f"idle {len(ADDRESSES)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
