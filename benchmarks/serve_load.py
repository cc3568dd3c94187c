"""Ten times the load that `gantool serve` can hold, from this machine, and what becomes of it.

    python benchmarks/serve_load.py g.onnx --seconds 60

A request is a sheet of 32 images. First, 8 clients that wait for answers find the rate that the server holds.
Then requests come at ten times that rate, each on a connection of its own, whether or not there are answers, in
two floods. It fails if an answer is anything but 200 or 503, if the second takes more than a tenth more memory
than the first, or if the first request after both takes ten times as long as the slowest of those before.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATH = "/grid.png?seeds=0-31"
OVER = 10  # times the rate that it holds
GROWTH = 1.1  # of memory
SLOWER = 10.0  # the first request afterwards: a server that still works on what it refused takes longer


async def ask(port: int, path: str = PATH) -> tuple[int, bytes]:
    """Return status and body of an answer; status 0: the connection failed."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0, b""
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]) if head else 0, body
    except OSError:
        return 0, b""
    finally:
        writer.close()


async def memory(port: int) -> float:
    """Return the resident memory of the server, in MiB."""
    _, text = await ask(port, "/metrics")
    found = re.search(rb"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    return float(found[1]) / 2**20 if found else 0.0


async def held(port: int, seconds: float) -> float:
    """Return requests a second of 8 clients that wait for their answers."""
    until, done = time.monotonic() + seconds, Counter[int]()

    async def client() -> None:
        while time.monotonic() < until:
            status, _ = await ask(port)
            done[status] += 1

    await asyncio.gather(*(client() for _ in range(8)))
    return done[200] / seconds


async def latency(port: int) -> float:
    """Return the seconds of one request."""
    began = time.monotonic()
    status, _ = await ask(port)
    assert status == 200, f"the server answered {status} without load"
    return time.monotonic() - began


async def flood(port: int, rate: float, seconds: float, times: dict[int, list[float]]) -> float:
    """Send requests at a rate; add their seconds to `times`, by status. Return the server's memory, in MiB."""
    sizes = [await memory(port)]

    async def one() -> None:
        began = time.monotonic()
        status, _ = await ask(port)
        times.setdefault(status, []).append(time.monotonic() - began)

    running: set[asyncio.Task[None]] = set()
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        while sent < passed * rate:
            task = asyncio.ensure_future(one())
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        if len(sizes) < passed:
            sizes.append(await memory(port))
        await asyncio.sleep(0.005)
    await asyncio.gather(*running)
    return max(sizes)


@contextmanager
def started(engine: Path) -> Iterator[int]:
    """Start a server with a short queue; yield its port."""
    command = [sys.executable, "-m", "gantool", "serve", str(engine), "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline().rsplit(":", 1)[1].strip("/\n"))
        finally:
            process.terminate()


async def measure(port: int, seconds: float) -> list[str]:
    """Measure and print; return what is wrong."""
    before = [await latency(port) for _ in range(5)]
    rate = await held(port, min(10.0, seconds))
    print(
        f"it holds {rate:.1f} requests/s, {32 * rate:.0f} images/s; one alone takes {1000 * min(before):.0f} ms"
    )
    times: dict[int, list[float]] = {}
    early, late = [await flood(port, OVER * rate, seconds / 2, times) for _ in range(2)]
    after = await latency(port)
    for status, found in sorted(times.items()):
        ordered = sorted(found)
        middle, most = (1000 * ordered[int(part * (len(found) - 1))] for part in (0.5, 0.99))
        print(f"{status}: {len(found):,} answers, p50 {middle:.0f} ms, p99 {most:.0f} ms")
    offered = sum(map(len, times.values())) / seconds
    print(f"offered {offered:.0f} requests/s for {seconds:g} s; memory {early:.0f} -> {late:.0f} MiB")
    print(f"first request afterwards: {1000 * after:.0f} ms")
    wrong = []
    if set(times) - {200, 503} or 200 not in times:
        wrong.append(f"answers were {sorted(times)}")
    if late > GROWTH * early:
        wrong.append(f"memory grew from {early:.0f} to {late:.0f} MiB")
    if after > SLOWER * max(before):
        wrong.append(f"the first request afterwards took {after:.3f} s, before {max(before):.3f} s at most")
    return wrong


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    if not given.engine.is_file():
        parser.error(f"there is no {given.engine}: make one with gantool export, or name it: GRAPH=g.onnx")
    with started(given.engine) as port:
        wrong = asyncio.run(measure(port, given.seconds))
    for each in wrong:
        print(f"failed: {each}", file=sys.stderr)
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
