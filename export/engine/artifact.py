"""A built engine in memory: the plan and its sidecar."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from gantool.export.artifact import Graph
from gantool.export.engine.build import SUFFIXES, Built, build
from gantool.export.engine.options import BuildOptions, Library
from gantool.runtime.artifacts.plan import NAMES, parse_header
from gantool.runtime.artifacts.sidecar import Sidecar, write_sidecar

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """A plan as TensorRT wrote it, and its sidecar."""

    path: Path  # of the plan, which is not written yet
    plan: bytes
    sidecar: Sidecar

    def save(self, folder: Path) -> Path:
        """Write plan and sidecar into `folder`; return the path of the plan."""
        plan = folder / self.path.name
        plan.write_bytes(self.plan)
        write_sidecar(plan, self.sidecar)
        return plan


def build_engine(
    graph: Graph, base: Path, library: Library, options: BuildOptions, parsed: bytes | None = None
) -> Engine:
    """Build BASE.plan or BASE.rtx.plan in memory. Raises the errors of `build`.

    parsed: the graph in the form that the library takes, if that is not its own
    """
    path = base.with_name(base.name + SUFFIXES[library])
    _log.info(f"{path.name}: building with {NAMES[library]} (seconds on a desktop, minutes on a Jetson) ...")
    started = time.monotonic()
    built = build(graph if parsed is None else replace(graph, data=parsed), library, options)
    _log.info(f"{path.name}: built in {time.monotonic() - started:.1f} s; {built.receipt}")
    _note_limits(graph, path, built, options)
    return Engine(path, built.plan, _sidecar(graph, path, library, built, options))


def _sidecar(graph: Graph, path: Path, library: Library, built: Built, options: BuildOptions) -> Sidecar:
    header = parse_header(path, library, built.plan[:64], len(built.plan))
    content = {
        "format": 1,
        "flavour": library,  # the name of the key in all sidecars so far
        "version": built.version,
        "compute_capabilities": header.compute_capabilities,
        "batch": dict(zip(("min", "opt", "max"), built.batches, strict=True)),
        "tensors": {tensor.name: tensor.to_json() for tensor in built.tensors},
        "receipt": built.receipt.to_json(),
        "stripped": options.strip_weights,
        "not_on_dla": built.not_on_dla,
        "graph": graph.name,
        "graph_sha256": graph.sha256,
        "plan_sha256": sha256(built.plan).hexdigest(),
        "metadata": graph.metadata.to_json(),
        "recipe": graph.recipe.to_json(),
        "parity": graph.parity.to_json(),  # of the graph, with its FP32 reference
    }
    return Sidecar(content)


def _note_limits(graph: Graph, path: Path, built: Built, options: BuildOptions) -> None:
    if built.batches != options.batches:
        _log.warning(f"{graph.name} has a fixed batch of {built.batches[0]}: {path.name} takes no other")
    if options.version_compatible:
        _log.warning(
            f"{path.name} holds TensorRT's lean runtime, which is code that runs when the plan is loaded: trtexec "
            "and Triton load such a plan if told that it is version-compatible, gantool generate does not"
        )
    if built.not_on_dla:
        _log.warning(
            f"these layers run on the GPU, since DLA does not take them: {', '.join(built.not_on_dla)}; it takes "
            "transposed convolutions of `lowering` dla or dla-onehot"
        )
