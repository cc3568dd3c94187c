"""What an engine is: the graph that it came from, and its precision. For the marks of its images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import gantool
from gantool.runtime.artifacts.onnx import map_file
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.recipe import recipe_of
from gantool.runtime.artifacts.sidecar import read_sidecar, sha256
from gantool.runtime.errors import GantoolError
from gantool.runtime.provenance.record import Record


@dataclass(frozen=True)
class Origin:
    """Where an engine comes from."""

    graph: str  # SHA-256 of the graph; of the plan if its graph is not recorded
    precision: str | None  # fp32, fp16, bf16 or int8; None: unknown

    @classmethod
    def of(cls, engine: Path) -> Origin:
        """Read it from a graph, or from the sidecar of a plan. Raises GantoolError for a damaged file."""
        if identify(engine) == "onnx":
            data = map_file(engine)  # read once: it may be large
            return cls(hashlib.sha256(data).hexdigest(), recipe_of(engine, data).precision)
        sidecar = read_sidecar(engine)
        if sidecar is None:
            return cls(sha256(engine), None)
        try:
            return cls(sidecar.graph_sha256, sidecar.precision)
        except GantoolError:  # of an earlier gantool, or of another tool
            return cls(sidecar.plan_sha256, None)

    def record(self, engine: str) -> Record:
        """Return the record of what all images of this engine have in common; `engine`: its library and device."""
        return Record(self.graph, engine, gantool.__version__, self.precision)
