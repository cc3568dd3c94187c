"""`gantool serve` beside a plain FastAPI handler and a real Triton server: writes benchmarks/serve.md.

All have the same graph and answer with one image a request. They take turns in rounds, and one load generator asks
all of them (load.py). What engine and PNG encoder do without a server is measured in the same rounds.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import tritonclient.http as triton
from load import HOST, WARM, Kind, Load, Order, tensor, work

from export import checkpoint
from gantool.runtime import Generator
from gantool.runtime.outputs.encoding import Encoding
from gantool.runtime.outputs.image_files import pieces
from gantool.runtime.process.cpus import cores
from gantool.runtime.process.pool import ordered_pool
from gantool.runtime.spec import Images
from helpers.triton_server import answers, free_port, triton_server

HERE = Path(__file__).parent
PRESETS, CLIENTS, BATCH = ("dcgan64", "dcgan128"), (1, 8, 64), 64
GANTOOL, FASTAPI, TRITON = "gantool serve", "FastAPI, plain ONNX Runtime loop", "Triton, dynamic batching"
# By kind of request. Triton answers with tensors alone, so gantool's KServe v2 door stands beside it.
SERVICES: dict[Kind, tuple[str, ...]] = {
    "png": (GANTOOL, FASTAPI),
    "raw": (GANTOOL, TRITON),
    "tritonclient": (GANTOOL, TRITON),
}
TITLES: dict[Kind, str] = {
    "png": "PNG: GET /images/SEED.png",
    "raw": "Raw tensors: POST /v2/models/g/infer, in the bytes that tritonclient writes",
    "tritonclient": "Raw tensors, asked by tritonclient.http.aio itself",
}


@dataclass(frozen=True)
class Measured:
    """The rounds of one generator."""

    title: str
    loads: dict[tuple[Kind, str, int], list[Load]]  # by kind, service and clients
    ceilings: dict[Kind, list[float]]  # images/s without a server


def measure(preset: str, folder: Path, rounds: int, seconds: float) -> Measured:
    """Export a generator, start all services, and measure them in turn."""
    export = ("export", checkpoint(preset, folder), "--engine", "none", "-o", "g", "--triton", "models/g")
    subprocess.run([sys.executable, "-m", "gantool", *map(str, export)], cwd=folder, check=True, stdout=2)
    keys = [(kind, name, n) for n in CLIENTS for kind, names in SERVICES.items() for name in names]
    with ExitStack() as stack, Generator.load(folder / "g.onnx", "cpu") as generator:
        spec = generator.spec
        title = f"{preset}: {spec.height}×{spec.width} pixels, {spec.channels} channels"
        found = Measured(title, {key: [] for key in keys}, {"png": [], "raw": []})
        load, ceiling = (stack.enter_context(process(target)) for target in (work, alone))
        ports = {
            GANTOOL: stack.enter_context(gantool(folder)),
            FASTAPI: stack.enter_context(fastapi(folder)),
            TRITON: int(stack.enter_context(triton_server(folder / "models")).rpartition(":")[2]),
        }
        check(ports, generator)
        for _ in range(rounds):
            for kind, rates in found.ceilings.items():
                rates.append(ask(ceiling, (folder / "g.onnx", kind, seconds)))
            for kind, name, clients in keys:
                order = Order(kind, ports[name], "g", spec.latent, clients, seconds)
                one = ask(load, order)
                found.loads[kind, name, clients].append(one)
                print(f"{preset}, {kind}, {name}, {clients}: {cell([one])}", file=sys.stderr)
    return found


def check(ports: dict[str, int], generator: Generator) -> None:
    """Raise AssertionError if a service does not give the image that gantool gives, to a level of rounding."""
    (expected,) = generator.images([7], batch=1)
    made = {}
    for name in SERVICES["png"]:
        with urlopen(f"http://{HOST}:{ports[name]}/images/7.png") as answer:
            made["png", name] = Encoding().decode(io.BytesIO(answer.read()), *expected.shape)
    for name in SERVICES["raw"]:
        with triton.InferenceServerClient(f"{HOST}:{ports[name]}") as client:
            made["raw", name] = client.infer("g", [tensor(generator.z([7])[0])]).as_numpy("images")[0]
    for what, image in made.items():
        assert image is not None, what
        assert np.abs(image.astype(int) - expected).max() <= 1, what


@contextmanager
def process(target: Callable[[Connection], None]) -> Iterator[Connection]:
    """Start a process that answers what is sent to it; None ends it."""
    context = multiprocessing.get_context("spawn")
    end, other = context.Pipe()
    one = context.Process(target=target, args=(other,), daemon=True)
    one.start()
    other.close()
    yield end
    end.send(None)
    one.join()


def ask(end: Connection, order: object) -> Any:
    """Send an order; return the answer."""
    end.send(order)
    return end.recv()


@contextmanager
def server(command: list[str], port: int, folder: Path, **environment: str) -> Iterator[int]:
    """Run a server, and yield its port once it answers with an image."""
    log = folder / f"{port}.log"
    with log.open("wb") as out:
        one = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=out, stderr=out)
    try:
        end = time.monotonic() + 60
        while not answers(f"http://{HOST}:{port}/images/0.png"):
            if one.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield port
    finally:
        one.terminate()
        one.wait()


def gantool(folder: Path) -> AbstractContextManager[int]:
    """Start `gantool serve` as it is without flags."""
    port = free_port()
    flags = ("-e", "g=g.onnx", "--provider", "cpu", "--port", str(port))
    return server([sys.executable, "-m", "gantool", "serve", *flags], port, folder)


def fastapi(folder: Path) -> AbstractContextManager[int]:
    """Start plain_fastapi.py as its users would."""
    port = free_port()
    flags = ("--app-dir", str(HERE), "--port", str(port))
    command = [sys.executable, "-m", "uvicorn", "plain_fastapi:app", *flags]
    return server(command, port, folder, GRAPH=str(folder / "g.onnx"))


def alone(orders: Connection) -> None:
    """Answer each (graph, kind, seconds) with images/s of engine and encoder, as `gantool generate` uses them."""
    while (order := orders.recv()) is not None:
        graph, kind, seconds = order
        with Generator.load(graph, "cpu") as generator:
            run_alone(generator, kind, WARM)
            orders.send(run_alone(generator, kind, seconds))


def run_alone(generator: Generator, kind: Kind, seconds: float) -> float:
    """Return images/s, from seeds to PNG in memory or to arrays."""

    def save(images: Images) -> None:
        for image in images:
            Encoding().encode(image)

    made, started = 0, time.perf_counter()
    with ordered_pool(cores(), lambda _: None) as submit:
        for images in generator.generate(count(), BATCH):
            if kind == "png":
                for piece in pieces(len(images), cores()):
                    submit(partial(save, images[piece]))
            made += len(images)
            if time.perf_counter() - started > seconds:
                break
    return made / (time.perf_counter() - started)


def rate(loads: list[Load]) -> float:
    """Return images/s, the median of the rounds."""
    return statistics.median(len(load.latencies) / load.seconds for load in loads)


def tables(found: Measured) -> Iterator[str]:
    """Yield the section of one generator."""
    yield f"## {found.title}"
    for kind, names in SERVICES.items():
        ceiling = statistics.median(found.ceilings["png" if kind == "png" else "raw"])
        alone = "engine and PNG encoder" if kind == "png" else "the engine"
        yield from ("", f"### {TITLES[kind]}", "")
        yield (
            "| | "
            + " | ".join(f"{n} client{'s' * (n > 1)}" for n in CLIENTS)
            + " | of the ceiling | client's CPU |"
        )
        yield "| --- " * (len(CLIENTS) + 3) + "|"
        for name in names:
            of = [found.loads[kind, name, n] for n in CLIENTS]
            cells = [cell(loads) for loads in of]
            cpu = sum(load.cpu for load in of[-1]) / max(sum(len(load.latencies) for load in of[-1]), 1)
            share = rate(of[-1]) / ceiling
            yield f"| {name} | " + " | ".join(cells) + f" | {share:.2f} | {cpu * 1e3:.2f} ms |"
        yield f"| ceiling: {alone} alone | " + " | " * (len(CLIENTS) - 1) + f"{ceiling:.0f}/s | 1.00 | |"


def cell(loads: list[Load]) -> str:
    """Return images/s, p50 and p99."""
    if not any(load.latencies for load in loads):
        return "no answer in time"
    middle, last = np.percentile([one for load in loads for one in load.latencies], (50, 99)) * 1e3
    return f"{rate(loads):.0f}/s, {middle:.1f} and {last:.1f} ms"


def page(results: list[Measured], load: float, arguments: argparse.Namespace) -> str:
    """Return benchmarks/serve.md."""
    names = ("numpy", "onnxruntime", "pillow", "starlette", "uvicorn", "fastapi", "tritonclient")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    about = f"""# gantool serve

Written by `make bench-serve` on {platform.machine()}, {cores()} cores, Python {platform.python_version()},
{libraries}, Triton 2.51;
load {load:.1f} at the start (1 is one core busy with something else).

Each cell: images/s, then the 50th and 99th percentile of the time to an answer. Images/s are the median of
{arguments.rounds} rounds of {arguments.seconds:g} s, in which all take turns. A client asks for one image, waits
for it, and asks for the next. All have the same graph, with random weights, and gave the same image at the start.

- All use ONNX Runtime on the CPU. `gantool serve` has no other flag than `--provider cpu`. FastAPI runs
  `plain_fastapi.py` with one worker of uvicorn.
- Triton reads the model repository that `gantool export --triton` wrote, with dynamic batching. It is the server in
  the wheel of nvidia-pytriton, and its backend for ONNX Runtime is 40 lines of Python here. The backend in NVIDIA's
  containers is C++, and may be faster.
- Triton answers with tensors, not with files: it stands beside gantool's door for tensors, KServe v2.
- The ceiling is what engine and PNG encoder do in batches of {BATCH} without a server, a client or a socket, in the
  same rounds. A share over 1 is possible: the service cuts such a batch in two halves, the ceiling does not.
  "Of the ceiling" is at {CLIENTS[-1]} clients.
- The clients are one process on the same cores, so the servers lack the CPU time that it takes. "Client's CPU" is
  that time for an image, at {CLIENTS[-1]} clients.
"""
    return "\n".join([about, *("\n".join([*tables(found), ""]) for found in results)])


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.5, help="of each measurement")
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--out", type=Path, default=HERE / "serve.md")
    arguments = parser.parse_args()
    load, results = os.getloadavg()[0], []
    for preset in arguments.presets:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(preset, Path(folder), arguments.rounds, arguments.seconds))
    arguments.out.write_text(page(results, load, arguments), encoding="utf-8")


if __name__ == "__main__":
    main()
