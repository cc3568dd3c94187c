"""What test_ray.py starts in a process of its own: a Ray cluster of two nodes on this machine, and a pool on it.

    python ray_cluster.py ENGINE FOLDER COUNT

It writes seeds 0 to COUNT - 1 to FOLDER/pixels.npz, sorted, and as a WebDataset to FOLDER/tars, while an actor is
killed at work. It prints the number of its process. It exits with BUSY if the cluster does not start: Ray gives a
node 30 seconds for that, and no option changes them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import ray
from ray.cluster_utils import Cluster

from gantool.runtime.ray import Options, images, sample

NODE = {"num_cpus": 2, "object_store_memory": 200 << 20, "include_dashboard": False}
ACTOR = "ray::MapWorker(MapBatches(_Engine))"  # the title that Ray gives to its process
PATIENCE = 300.0  # seconds
BUSY, TRIES = 75, 3


def at_work() -> dict[int, str]:
    """Return the titles of the processes of actors, by number, which are below this process."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):  # not a process, or one that has ended
            title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            if title.startswith(ACTOR) and os.getpid() in ancestors(int(entry.name)):
                found[int(entry.name)] = title
    return found


def ancestors(process: int) -> set[int]:
    found: set[int] = set()
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        found.add(process)
    return found


def kill_one(killed: list[int]) -> None:
    """Kill the first actor that is seen while it makes images."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not killed:
        for process, title in at_work().items():
            if title.endswith(".submit()") or title.endswith(".submit"):
                os.kill(process, signal.SIGKILL)
                killed.append(process)
                break
        time.sleep(0.01)


def started() -> Cluster:
    """Return a cluster of two nodes. Exits with BUSY if this machine is too busy for Ray's limit of time."""
    for _ in range(TRIES):
        cluster = Cluster()
        try:
            for _ in range(2):
                cluster.add_node(**NODE)
        except Exception as error:  # Ray has no class of its own for it
            cluster.shutdown()
            if "timed out during startup" not in str(error):
                raise
            print(error, file=sys.stderr)
        else:
            return cluster
    sys.exit(BUSY)


def main(engine: str, folder: Path, count: int) -> None:
    cluster = started()
    ray.init(address=cluster.address, log_to_driver=False)
    killed: list[int] = []
    killer = threading.Thread(target=kill_one, args=(killed,))
    killer.start()
    made = images(engine, range(count), Options(actors=2, batch=16, provider="cpu", format="png"))
    made.write_webdataset(str(folder / "tars"), encoder=sample)
    killer.join()
    rows = images(engine, range(count), Options(actors=2, provider="cpu")).take_all()
    rows.sort(key=lambda row: int(row["seed"]))
    np.savez(folder / "pixels.npz", seed=[row["seed"] for row in rows], image=[row["image"] for row in rows])
    print("killed", *killed)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
