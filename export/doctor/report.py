"""`gantool doctor`: what this machine is, what starts on it, and which files of a folder can run on it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

from gantool.export.doctor import system_info as machine
from gantool.export.doctor.selftest import FAILED, PASSED, Check, in_a_process, selftest, way
from gantool.export.given import files_of
from gantool.export.packaging import bundle
from gantool.runtime import Generator
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.recipe import recipe_of
from gantool.runtime.backends.providers import PROVIDERS
from gantool.runtime.backends.tensorrt.library import source_graph
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError, VerificationError
from gantool.runtime.files import atomic


def doctor(folder: Path, test: bool, as_json: bool, report: Path) -> None:
    """Print what is known of this machine and of the files in `folder`; with `test` run the self-test too.

    The self-test writes all of it to `report`, and raises VerificationError if a check failed.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: give the one with your engines, or none for this one")
    found = {
        **machine.facts(),
        "providers": _providers(),
        "files": [_file(path) for path in files_of(folder)],
    }
    if not as_json:
        _print(found)
    checks: list[Check] = []
    if test:
        if not as_json:
            print("self-test:")
        for one in selftest():
            checks.append(one)
            if not as_json:
                print(
                    f"  {one.way:<20}  {one.generator:<11}  {one.outcome:<10}  {one.detail}".rstrip(),
                    flush=True,
                )
        found["selftest"] = [asdict(one) for one in checks]
        with atomic(report) as part:
            part.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        print(f"{report}: attach it to a report of a bug", file=sys.stderr)
    if as_json:
        print(json.dumps(found, indent=2))
    if failed := [f"{one.generator} with {one.way}" for one in checks if one.outcome == FAILED]:
        raise VerificationError(f"the self-test failed: {', '.join(failed)}; {report} has the details")


def _providers() -> dict[str, str]:
    """Say of each provider whether it truly starts: that it is listed means little."""
    found = {name: next(in_a_process(way(name), ["fp32"])) for name in PROVIDERS}
    return {name: "starts" if one.outcome == PASSED else one.detail for name, one in found.items()}


def _file(path: Path) -> dict[str, Any]:
    """Return whether a file runs here; where not, why, and the command that makes one that can."""
    name = quote(str(path))
    if path.suffix == ".safetensors":
        return _row(path, False, "a checkpoint", f"gantool export {name}")
    try:
        if bundle.is_bundle(path):
            bundle.read(path)
            return _row(path, False, "a bundle", f"gantool export {name}")
        if identify(path) == "onnx":
            return _graph(path, name)
        with Generator.load(path):
            return _row(path, True, "", f"gantool generate --engine {name}")
    except MissingDependencyError as error:
        return _row(path, False, str(error).split(": pip ")[0], error.command)
    except GantoolError as error:
        return _row(path, False, _short(error), _instead(path))


def _graph(path: Path, name: str) -> dict[str, Any]:
    if not read_metadata(path):
        return _row(path, False, "a graph from elsewhere", f"gantool export {name}")
    if not recipe_of(path).on_cpu:
        reason = "ONNX Runtime has no BF16 kernels on the CPU; it is for building an engine"
        return _row(path, False, reason, f"gantool export {name}")
    with Generator.load(path):
        return _row(path, True, "", f"gantool generate --engine {name}")


def _row(path: Path, runs: bool, why: str, command: str) -> dict[str, Any]:
    return {"file": str(path), "runs": runs, "why": why, "command": command}


def _short(error: GantoolError) -> str:
    """Return what was found, without the advice."""
    return str(error).split("; ")[0].split(": rebuild")[0]


def _instead(path: Path) -> str:
    """Return the command for something that runs here, of what a plan was built from."""
    graph = source_graph(path)
    if not graph.exists():
        return f"gantool export CHECKPOINT -o {quote(str(path.with_name(graph.name.split('.')[0])))}"
    if (flavour := machine.builds_and_runs(path.name.endswith(".rtx.plan"))) is not None:
        return f"gantool export {quote(str(graph))} --engine {flavour}"
    return f"gantool generate --engine {quote(str(graph))}"


def _print(found: dict[str, Any]) -> None:
    for name, value in found.items():
        if name == "files":
            continue
        if isinstance(value, dict):
            print(f"{name}:")
            for key, entry in value.items():
                print(f"  {key:<18}  {entry}")
        else:
            print(f"{name:<20}  {value}")
    print("files:")
    for row in found["files"]:
        print(f"  {row['file']}: {'runs here' if row['runs'] else row['why']}")
        print(f"    {row['command']}")
    if not found["files"]:
        print("  none of gantool's")
