"""`gantool bench`: measure several engines, each in its own process."""

from __future__ import annotations

import json
import logging
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from gantool.runtime.artifacts.plan import identify
from gantool.runtime.bench.timing import Bench, Timing
from gantool.runtime.errors import GantoolError
from gantool.runtime.generator import check_engine_threads
from gantool.runtime.newest import engines
from gantool.runtime.options import BenchOptions
from gantool.runtime.process import child
from gantool.runtime.process.cpus import Others, cores
from gantool.runtime.progress import task

_log = logging.getLogger(__name__)


def bench(options: BenchOptions, each: Callable[[Timing], None] | None = None) -> Bench:
    """Measure engines with each provider and batch size. Without `files`, measure all g.* in the current folder.

    `each` is called with each timing as soon as it is measured. An engine that does not run is logged and skipped.
    """
    files = list(options.files) or engines(Path())
    check_engine_threads(options.threads)
    kinds = {file: identify(file) for file in files}  # before minutes of work
    runs = [
        (file, name) for file in files for name in (options.provider if kinds[file] == "onnx" else ("auto",))
    ]
    busy = busy_already()
    timings: list[Timing] = []
    failed = 0
    with task("measuring", len(runs) * len(options.batch)) as measured:
        done = 0
        for file, provider in runs:
            threads = options.threads if kinds[file] == "onnx" else None
            for row in rows(file, provider, options.batch, options.seconds, threads):
                done += 1
                if "error" in row:
                    _log.warning("%s is skipped: %s", file, row["error"])
                    failed = failed or row["exit_code"]
                elif "takes" in row:
                    low, high = row["takes"]
                    _log.warning("%s takes batches of %s to %s: %s is skipped", file, low, high, row["batch"])
                else:
                    timings.append(Timing.from_json(file, provider, row))
                    if each is not None:
                        each(timings[-1])
                measured.update(done, str(file))
    doubts = [
        f"{timing.file}, batch {timing.batch}: {doubt}" for timing in timings for doubt in timing.doubts
    ]
    found = Bench(tuple(timings), options.threads, (*busy, *doubts), failed, machine())
    if options.html is not None:
        from gantool.runtime.bench import bench_html

        bench_html.write(found, options.html)
    return found


def rows(
    file: Path, provider: str, batches: Sequence[int], seconds: float, threads: int | None
) -> Iterator[dict[str, Any]]:
    """Run gantool.runtime.bench.measure; yield its rows as it prints them."""
    sizes = ",".join(map(str, batches))
    arguments = (time.monotonic(), seconds, threads or 0, provider, sizes, file)
    command = child.python("gantool.runtime.bench.measure", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise GantoolError(
            f"measuring {file} ended with code {process.returncode}: run it alone, with gantool generate -e "
            f"{quote(str(file))}, to see why"
        )


def busy_already() -> list[str]:
    """Return a warning in a list if other programs are busy before the measurement."""
    others = Others()
    time.sleep(0.2)
    line = others.line()
    return [line] if line else []


def machine() -> dict[str, Any]:
    """Return the machine that was measured: processor, cores, Python, and a Jetson's power mode."""
    import platform
    import shutil

    found: dict[str, Any] = {
        "machine": platform.machine(),
        "cores": cores(),
        "python": platform.python_version(),
    }
    if nvpmodel := shutil.which("nvpmodel"):  # on a Jetson
        result = subprocess.run([nvpmodel, "-q"], capture_output=True, text=True, check=False)
        found["nvpmodel"] = result.stdout.split("\n")[0]
    return found
