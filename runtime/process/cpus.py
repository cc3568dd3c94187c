"""How many CPUs this process may use, and the load of other programs."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_BUSY = 0.25  # a machine is busy if other programs use this share of the CPUs


def cores(root: Path = Path("/")) -> int:
    """Return how many CPUs this process may use, at least 1, from its affinity and the quotas of its cgroups.

    `root`: the folder with /proc and /sys.
    """
    allowed = _allowed()
    count = len(allowed) if allowed else os.cpu_count() or 1
    return max(1, min([count, *map(math.ceil, _quotas(root))]))


def limit() -> int:
    """Return the number of threads to request from a library: `cores()` if the machine has more CPUs, else 0.

    0 lets the library choose: some use one thread per physical core, which is faster.
    """
    return 0 if cores() == os.cpu_count() else cores()


def available() -> int:
    """Return how many CPUs this process may run on, without its quota of CPU time."""
    return len(_allowed() or ()) or os.cpu_count() or 1


def _allowed() -> set[int] | None:
    """Return the numbers of the CPUs in this process's affinity mask; None on systems without one."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def _quotas(root: Path) -> Iterator[float]:
    """Yield each CPU quota of this process, in CPUs: those of its cgroups and of all their parents."""
    try:
        groups = _groups(root)
        lines = (root / "proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        with suppress(ValueError):  # a mount in another format
            fields, _, kind = line.partition(" - ")
            _, _, _, top, mount, *_ = fields.split(" ")
            name, *_, options = kind.split(" ")
            controller = "" if name == "cgroup2" else "cpu" if "cpu" in options.split(",") else None
            if name.startswith("cgroup") and controller is not None and controller in groups:
                yield from _quotas_under(root / mount.lstrip("/"), top, groups[controller])


def _groups(root: Path) -> dict[str, str]:
    """Return controller -> path of this process's cgroup; the controller of cgroup v2 is ""."""
    groups = {}
    for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _quotas_under(mount: Path, top: str, path: str) -> Iterator[float]:
    """Yield the quotas from `path` up to `top`, the cgroup that a container sees at `mount`."""
    with suppress(ValueError):
        # if `path` is outside of `top`, it is a path on the host, and the container's own cgroup is at the mount
        path = str(PurePosixPath(path).relative_to(top)) if top != "/" else path.lstrip("/")
    parts = PurePosixPath(path.lstrip("/")).parts
    for depth in range(len(parts), -1, -1):
        if (quota := _quota(mount.joinpath(*parts[:depth]))) is not None:
            yield quota


def _quota(folder: Path) -> float | None:
    """Return a cgroup's own quota in CPUs, or None."""
    files = ("cpu.max",) if (folder / "cpu.max").exists() else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    try:
        quota, period = " ".join((folder / name).read_text(encoding="ascii") for name in files).split()
        share = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # version 2 writes "max 100000" for no quota
        return None
    return share if share > 0 else None  # version 1 writes -1 for no quota


class Others:
    """Measures the CPU time that other programs use while this one runs."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        """Start measuring. `stat`: the file in which Linux counts the time of each CPU."""
        self._stat = stat
        self._before = self._now()

    def cpus(self) -> float:
        """Return how many of this process's CPUs other programs kept busy since this object was created.

        On a system without `stat`, return the load average of the last minute, minus this process.
        """
        (wall, busy, own), (wall_before, busy_before, own_before) = self._now(), self._before
        if busy is None or busy_before is None:
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
            return max(0.0, load - (own - own_before) / max(wall - wall_before, 1e-3))
        others = (busy - busy_before) - (own - own_before)
        return max(0.0, others / max(wall - wall_before, 1e-3))

    def line(self) -> str | None:
        """Return a warning that the machine is busy, or None."""
        used = self.cpus()
        if not is_busy(used):
            return None
        return f"the machine is busy: other programs use {used:.1f} of {available()} CPUs"

    def room(self) -> int:
        """Return how many CPUs are free for threads of this process, at least 1."""
        return max(1, min(cores(), round(available() - self.cpus())))

    def _now(self) -> tuple[float, float | None, float]:
        """Return seconds: of the clock, of all busy CPUs (None if unknown), and of this process's CPU time."""
        busy = None
        with suppress(OSError, ValueError, AttributeError):  # AttributeError: Windows has no sysconf
            lines = (line.split() for line in self._stat.read_text(encoding="ascii").splitlines())
            counts = {line[0]: list(map(int, line[1:9])) for line in lines if line[0].startswith("cpu")}
            allowed = _allowed() or ()
            # user, nice, system, idle, iowait, irq, softirq, steal: all but idle and iowait are busy time
            ticks = [
                sum(values) - sum(values[3:5])
                for number in allowed
                if (values := counts.get(f"cpu{number}")) is not None
            ]
            busy = sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None
        return time.monotonic(), busy, time.process_time()


def is_busy(used: float) -> bool:
    """Return whether measurements are unreliable, because other programs use `used` CPUs."""
    return available() - used <= (1 - _BUSY) * cores()
