"""`gantool doctor --selftest`: run tiny generators with every installed library, and compare with golden images.

The generators are bundles in the package (`golden/`, made by tests/helpers/golden.py). Each library runs in a
process of its own, so that a crash is reported and does not end the self-test.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gantool.export.artifact import Graph
from gantool.export.engine.build import MODULES, SUFFIXES, build, choose_library
from gantool.export.engine.options import BuildOptions, Library
from gantool.export.packaging import bundle
from gantool.export.precision.psnr import compare
from gantool.runtime import Generator
from gantool.runtime.artifacts.plan import NAMES
from gantool.runtime.backends.providers import OF_ONNX_RUNTIME, PROVIDERS
from gantool.runtime.errors import EngineMismatchError, GantoolError, MissingDependencyError
from gantool.runtime.process import child
from gantool.runtime.spec import Images

GENERATORS = ("fp32", "fp16", "int8", "conditional", "rgba")
TIMEOUT = 1800  # seconds for one way; a Jetson takes minutes to build
PASSED, BUILT, SKIPPED, FAILED = "passed", "built only", "skipped", "failed"


@dataclass(frozen=True)
class Check:
    """The result of one generator with one library."""

    way: str  # onnxruntime-cpu, openvino, tensorrt, rtx ...
    generator: str
    outcome: str  # PASSED, BUILT (no GPU to run it), SKIPPED (not available here) or FAILED
    detail: str
    images: Images | None = field(
        default=None, repr=False, compare=False
    )  # of bundle.SEEDS; None: none were kept

    def to_json(self) -> dict[str, str]:
        """Return the check without its images."""
        return {name: getattr(self, name) for name in ("way", "generator", "outcome", "detail")}


def selftest(*, images: bool = False) -> Iterator[Check]:
    """Yield a check for each generator with each installed library; with `images`, it has the images."""
    ways = {way(name): "onnxruntime" if name in OF_ONNX_RUNTIME else name for name in PROVIDERS}
    ways |= {str(library): module for library, module in MODULES.items()}
    for name, module in ways.items():
        if find_spec(module) is None:
            yield Check(name, "all", SKIPPED, f"{module} is not installed")
        else:
            yield from in_a_process(name, GENERATORS, images=images)


def way(provider: str) -> str:
    """Return the name of a provider in checks."""
    return f"onnxruntime-{provider}" if provider in OF_ONNX_RUNTIME else provider


def in_a_process(way: str, generators: Sequence[str], *, images: bool = False) -> Iterator[Check]:
    """Yield the checks of one library, run in a process; if the process fails, the last check says how."""
    with TemporaryDirectory() as folder:
        command = child.python("gantool.export.doctor.selftest", way, folder if images else "", *generators)
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
            lines, problem = result.stdout, _ending(result)
        except subprocess.TimeoutExpired as error:
            text = error.stdout or b""
            lines = text if isinstance(text, str) else text.decode(errors="replace")
            problem = f"did not end within {TIMEOUT} s"
        checks = [Check(**json.loads(line)) for line in lines.splitlines() if line.startswith('{"way"')]
        for one in checks:
            kept = Path(folder) / f"{one.generator}.npy"
            yield replace(one, images=np.load(kept)) if kept.is_file() else one
    if problem:
        missing = [name for name in generators if name not in {check.generator for check in checks}]
        yield Check(way, missing[0] if missing else "at exit", FAILED, problem)


def _ending(result: subprocess.CompletedProcess[str]) -> str:
    """Return how a process failed, or "" if it exited with 0."""
    last = (result.stderr.strip().splitlines() or ["nothing on stderr"])[-1][:300]
    if result.returncode < 0:
        return f"crashed with signal {-result.returncode}; {last}"
    return f"ended with code {result.returncode}; {last}" if result.returncode else ""


def golden(name: str) -> bundle.Bundle:
    """Return the bundle of a generator in the package, with its golden images."""
    with as_file(files("gantool.export.doctor") / "golden" / f"{name}.tar") as path:
        return bundle.read(path)


def check(way: str, name: str) -> Check:
    """Run one generator with one library, in this process."""
    carried = golden(name)
    with TemporaryDirectory() as folder:
        graph = Path(folder) / "g.onnx"
        graph.write_bytes(carried.graph)
        engine, provider, detail = graph, "auto", ""
        try:
            if way in MODULES:
                engine, detail = _built(graph, "tensorrt" if way == "tensorrt" else "rtx")
            else:
                provider = way.removeprefix("onnxruntime-")
            with Generator.load(engine, provider) as generator:
                images = generator.images(bundle.SEEDS)
        except (EngineMismatchError, MissingDependencyError) as error:
            if detail:
                return Check(way, name, BUILT, f"{detail}not run: {_cause(error)}")
            return Check(way, "all", SKIPPED, str(error))
        except GantoolError as error:
            return Check(way, name, FAILED, f"{detail}{error}".replace(f"{folder}/", ""))
    if images.shape != carried.golden.shape:
        detail += f"images {images.shape}, golden ones {carried.golden.shape}"
        return Check(way, name, FAILED, detail, images)
    parity = compare(carried.golden, images)
    close = parity.psnr >= carried.min_psnr
    expected = "" if close else f"; expected at least {carried.min_psnr:g} dB"
    return Check(way, name, PASSED if close else FAILED, f"{detail}{parity}{expected}", images)


def _cause(error: GantoolError) -> str:
    """Return the driver's problem without the words about the plan, which is temporary; else the whole message."""
    return str(error).partition(", and ")[2].partition("; ")[0] or str(error)


def _built(graph: Path, library: Library) -> tuple[Path, str]:
    """Build a graph; return the plan and a note on the build."""
    choose_library(library)  # raises, with the reason, if it cannot build here
    started = time.monotonic()
    built = build(Graph.load(graph), library, BuildOptions(max_batch=16))
    plan = graph.with_name(f"g{SUFFIXES[library]}")
    plan.write_bytes(built.plan)
    seconds = time.monotonic() - started
    return plan, f"{NAMES[library]} {built.version} built it in {seconds:.1f} s; "


if __name__ == "__main__":
    _way, _folder, *_names = sys.argv[1:]
    for _name in _names:
        one = check(_way, _name)
        if _folder and one.images is not None:
            np.save(Path(_folder) / f"{one.generator}.npy", one.images)
        print(json.dumps(one.to_json()), flush=True)
        if one.outcome == SKIPPED:
            break
