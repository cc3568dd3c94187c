"""The CPUs that a process may use: by affinity, by the quota of a container; and how busy others keep them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gantool.runtime.process.cpus import Others, cores

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
V2 = "24 1 0:1 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw\n"
V1 = "31 23 0:28 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


def machine(root: Path, mountinfo: str, cgroup: str, files: dict[str, str]) -> Path:
    """Write what Linux shows of cgroups under `root`."""
    all_files = {"proc/self/mountinfo": mountinfo, "proc/self/cgroup": cgroup, **files}
    for name, text in all_files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("mountinfo", "cgroup", "files", "quota"),
    [
        (V2, "0::/\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),  # docker run --cpus 1
        (V2, "0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (V2, "0::/\n", {}, None),
        (V2, "0::/\n", {"sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),  # a fifth is one thread
        (V2, "0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        # CPUQuota of a systemd unit, and one of a parent that is less
        (V2, "0::/a.slice/b.service\n", {"sys/fs/cgroup/a.slice/b.service/cpu.max": "100000 100000"}, 1),
        (
            V2,
            "0::/a.slice/b.service\n",
            {
                "sys/fs/cgroup/a.slice/cpu.max": "50000 100000",
                "sys/fs/cgroup/a.slice/b.service/cpu.max": "max 100000",
            },
            1,
        ),
        # version 1: in a container the file is at the mount, whatever the host calls the cgroup
        *(
            (
                V1.format(top=top),
                f"4:cpu,cpuacct:{path}\n1:name=systemd:/\n",
                {
                    f"sys/fs/cgroup/cpu,cpuacct/{inside}cpu.cfs_quota_us": f"{quota}\n",
                    f"sys/fs/cgroup/cpu,cpuacct/{inside}cpu.cfs_period_us": "50000\n",
                },
                count,
            )
            for top, path, inside, quota, count in (
                ("/docker/1", "/docker/1", "", 50000, 1),
                ("/", "/docker/1", "", 50000, 1),
                ("/", "/docker/1", "docker/1/", 40000, 1),
                ("/docker/1", "/docker/1/mine", "mine/", 60000, 2),
                ("/", "/", "", -1, None),
            )
        ),
        # both versions beside each other, the quota in the first
        (
            V2.replace("cgroup rw", "cgroup/unified rw") + V1.format(top="/"),
            "4:cpu,cpuacct:/\n0::/\n",
            {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000",
            },
            1,
        ),
        # what nobody should write, and no cgroups at all
        (V2, "0::/\n", {"sys/fs/cgroup/cpu.max": "many\n"}, None),
        (V2, "0::/\n", {"sys/fs/cgroup/cpu.max": "100000 0\n"}, None),
        ("", "", {}, None),
        ("short\n", "nothing\n", {}, None),
    ],
)
def test_quotas(
    mountinfo: str, cgroup: str, files: dict[str, str], quota: int | None, tmp_path: Path
) -> None:
    assert cores(machine(tmp_path, mountinfo, cgroup, files)) == min(HERE, quota or HERE)


def test_without_proc_it_is_the_affinity(tmp_path: Path) -> None:
    assert cores(tmp_path) == HERE


@pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset")
def test_one_cpu_by_taskset() -> None:
    first = min(os.sched_getaffinity(0))
    script = "from gantool.runtime.process.cpus import cores; print(cores())"
    command = ["taskset", "-c", str(first), sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"


def stat(path: Path, seconds: float) -> Path:
    """Write the counts of CPUs of which each was at work for so many seconds, and idle for ever so many."""
    ticks = int(seconds * os.sysconf("SC_CLK_TCK"))
    line = f"{ticks} 0 0 123456 7 0 0 0 0 0"
    path.write_text("cpu  1 2 3 4 5 6 7 8\n" + "".join(f"cpu{n} {line}\n" for n in range(256)) + "intr 1\n")
    return path


def test_others_at_work(tmp_path: Path) -> None:
    counts = stat(tmp_path / "stat", 1000)
    idle, busy = Others(counts), Others(counts)
    stat(counts, 1000.001)
    assert idle.cpus() < 1000 * HERE
    stat(counts, 5000)
    assert busy.cpus() > HERE
    assert "the machine is busy: other programs use" in (busy.line() or "")


def test_others_without_counts(tmp_path: Path) -> None:
    assert Others(tmp_path / "none").cpus() >= 0
    (tmp_path / "stat").write_text("cpu0 a b c\n")
    assert Others(tmp_path / "stat").cpus() >= 0
