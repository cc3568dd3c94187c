"""`gantool doctor`: report system info, which providers start, and which files of a folder run here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from gantool.export.artifact_files import list_files
from gantool.export.doctor import system_info as machine
from gantool.export.doctor.selftest import FAILED, PASSED, Check, in_a_process, way
from gantool.export.packaging import bundle
from gantool.runtime import Generator
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.recipe import recipe_of
from gantool.runtime.backends.providers import PROVIDERS
from gantool.runtime.backends.tensorrt.library import source_graph
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError, VerificationError
from gantool.runtime.files import atomic


@dataclass(frozen=True)
class File:
    """A file of gantool, and whether it runs here."""

    file: Path
    runs: bool
    why: str  # why it does not run; "" if it does
    command: str  # generates images with it, or makes a file that can


@dataclass(frozen=True)
class Report:
    """System info, the providers that start, and the files of a folder that can run."""

    machine: dict[str, Any]  # libraries, devices and versions, by name
    providers: dict[str, str]  # "starts", or the reason why it does not
    files: tuple[File, ...]
    checks: tuple[Check, ...] | None = None  # of the self-test; None: it did not run

    def to_json(self) -> dict[str, Any]:
        """Return what `gantool doctor --json` prints."""
        files = [{**asdict(one), "file": str(one.file)} for one in self.files]
        found: dict[str, Any] = {**self.machine, "providers": self.providers, "files": files}
        return found if self.checks is None else {**found, "selftest": [one.to_json() for one in self.checks]}

    def text(self) -> str:
        """Return the report for people, without the self-test."""
        lines = []
        for name, value in {**self.machine, "providers": self.providers}.items():
            if isinstance(value, dict):
                lines += [f"{name}:", *(f"  {key:<18}  {entry}" for key, entry in value.items())]
            else:
                lines.append(f"{name:<20}  {value}")
        lines.append("files:")
        for one in self.files:
            lines += [f"  {one.file}: {'runs here' if one.runs else one.why}", f"    {one.command}"]
        return "\n".join(lines if self.files else [*lines, "  none of gantool's"])

    def write(self, path: Path) -> None:
        """Write the report with the self-test as JSON."""
        with atomic(path) as part:
            part.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    def check(self, report: Path) -> None:
        """Raise VerificationError if a check of the self-test failed; `report` has the details."""
        failed = [f"{one.generator} with {one.way}" for one in self.checks or () if one.outcome == FAILED]
        if failed:
            raise VerificationError(f"the self-test failed: {', '.join(failed)}; {report} has the details")


def doctor(folder: Path) -> Report:
    """Report on this machine and the files in `folder`. Raises UsageError if that is not a folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give the one with your engines, or none for this one")
    return Report(machine.facts(), _providers(), tuple(_file(path) for path in list_files(folder)))


def _providers() -> dict[str, str]:
    """Start each provider with a tiny generator, since ONNX Runtime also lists providers that cannot start."""
    found = {name: next(in_a_process(way(name), ["fp32"])) for name in PROVIDERS}
    return {name: "starts" if one.outcome == PASSED else one.detail for name, one in found.items()}


def _file(path: Path) -> File:
    """Return whether a file runs here; if not, the reason, and the command that makes one that does."""
    name = quote(str(path))
    if path.suffix == ".safetensors":
        return File(path, False, "a checkpoint", f"gantool export {name}")
    try:
        if bundle.is_bundle(path):
            bundle.read(path)
            return File(path, False, "a bundle", f"gantool export {name}")
        if identify(path) == "onnx":
            return _graph(path, name)
        with Generator.load(path):
            return File(path, True, "", f"gantool generate --engine {name}")
    except MissingDependencyError as error:
        return File(path, False, str(error).split(": pip ")[0], error.command)
    except GantoolError as error:
        return File(path, False, _short(error), _instead(path))


def _graph(path: Path, name: str) -> File:
    if not read_metadata(path):
        return File(path, False, "a graph from elsewhere", f"gantool export {name}")
    if not recipe_of(path).on_cpu:
        reason = "ONNX Runtime has no BF16 kernels on the CPU; build an engine from it"
        return File(path, False, reason, f"gantool export {name}")
    with Generator.load(path):
        return File(path, True, "", f"gantool generate --engine {name}")


def _short(error: GantoolError) -> str:
    """Return the finding of an error, without the advice."""
    return str(error).split("; ")[0].split(": rebuild")[0]


def _instead(path: Path) -> str:
    """Return the command that makes, from the graph of a plan, something that runs here."""
    graph = source_graph(path)
    if not graph.exists():
        return f"gantool export CHECKPOINT -o {quote(str(path.with_name(graph.name.split('.')[0])))}"
    if (library := machine.builds_and_runs(path.name.endswith(".rtx.plan"))) is not None:
        return f"gantool export {quote(str(graph))} --engine {library}"
    return f"gantool generate --engine {quote(str(graph))}"
