"""Two machines: network namespaces that a virtual cable connects. And SLURM itself on them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from helpers.commands import needed

CABLE = "gantool"  # the interface of both
ADDRESSES = ("10.77.0.1", "10.77.0.2")
_CPUS = 8  # that each machine claims to have
_PATIENCE = 120  # seconds; it starts in five
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
    if shutil.which("ip") is None:
        pytest.skip("there is no ip here (iproute2)")
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
    finally:
        for name in names:
            found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
            for pid in map(int, found.stdout.split()):  # of a test that failed
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
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
        """Return the state of each task of a job that has not ended: PENDING, RUNNING, COMPLETING.

        Skips the test if SLURM cannot start a task on this machine; it then holds the job for ever.
        """
        words = ("squeue", "--noheader", "--array", "--format=%T %r", "--jobs", job)
        lines = self(*words, cwd=cwd).splitlines()
        if any("held" in line for line in lines):
            pytest.skip(f"SLURM fails here: {lines[0]}")
        return [line.partition(" ")[0] for line in lines]

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
def slurm(commands: Path) -> Iterator[Slurm]:
    """Start SLURM on two machines, with `commands` first in the PATH. Skips the test where it cannot run."""
    for name in ("munged", "slurmctld", "slurmd"):
        needed(name)
    # Not in a folder of pytest's: the path of a step's socket may have 108 bytes.
    with machines() as names, TemporaryDirectory(prefix="gantool-") as place, ExitStack() as started:
        folder = Path(place)
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
            # by force: it asks for a folder that all users may read
            ["munged", "--foreground", "--force", *_munge(folder)],
            [*on[0], "slurmctld", "-D"],
            *([*each, "slurmd", "-D", "-N", name] for each, name in zip(on, ADDRESSES, strict=True)),
        ):
            daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            started.callback(_end, daemons[-1])
        cluster = Slurm(on[0], environment)
        patience = time.monotonic() + _PATIENCE
        while not _ready(cluster):
            if time.monotonic() > patience or any(each.poll() is not None for each in daemons):
                pytest.skip(f"SLURM does not start here: {(folder / 'daemons.log').read_text()[-1000:]}")
            time.sleep(0.5)
        yield cluster


def _munge(folder: Path) -> Iterator[str]:
    """Yield the options that place all files of munge in a folder."""
    for option in ("key-file", "socket", "pid-file", "log-file", "seed-file"):
        yield f"--{option}={folder}/munge.{option.partition('-')[0]}"


def _configured(folder: Path) -> Path:
    """Write the files of SLURM and munge; return the path of slurm.conf."""
    (folder / "state").mkdir()
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
