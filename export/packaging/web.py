"""The page of a generator, BASE.html: one file with the graph and the engine inside, which any browser opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gantool.export.artifact import Graph
from gantool.export.packaging.web_runtime import find_runtime
from gantool.runtime.directions import Directions
from gantool.runtime.provenance.marker import Marker
from gantool.runtime.provenance.origin import Origin
from gantool.runtime.spec import Spec
from gantool.runtime.web.page import WebRuntime, browser_page, info

SUFFIX = ".html"
ENGINE = "ONNX Runtime Web"  # in the marks of what the page saves


@dataclass(frozen=True)
class Parts:
    """What a page holds besides the graph."""

    runtime: WebRuntime
    directions: Directions | None

    @classmethod
    def find(cls, runtime: Path | None, directions: Path | None) -> Parts:
        """Read both before any work. Raises UsageError or GantoolError if one is missing or damaged."""
        return cls(find_runtime(runtime), Directions.load(directions) if directions else None)


def write(target: Path, graph: Graph, spec: Spec, parts: Parts) -> None:
    """Write the page. Raises UsageError for directions of another generator."""
    known = info(target.name.removesuffix(SUFFIX), graph.name, graph.sha256, spec, parts.directions)
    record = Origin(graph.sha256, graph.recipe.precision).record(ENGINE)
    known["mark"] = Marker(record, authorship=spec.authorship).template()
    target.write_text(browser_page(known, graph.data[:], parts.runtime), encoding="utf-8")
