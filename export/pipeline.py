"""`gantool export`: source -> graph -> lower precision -> engine, each verified; then all files, written once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from gantool.export.artifact import Graph
from gantool.export.engine.artifact import Engine, build_engine
from gantool.export.engine.options import BuildOptions
from gantool.export.job import (
    BundleSource,
    ForeignGraph,
    Job,
    OwnGraph,
    TorchSource,
    check_precision,
    plan_export,
)
from gantool.export.options import ExportOptions
from gantool.export.packaging import bundle, card, triton, web
from gantool.runtime.artifacts.onnx import UINT16, output_type
from gantool.runtime.errors import MissingDependencyError, UsageError
from gantool.runtime.files import scratch
from gantool.runtime.generator import Generator
from gantool.runtime.progress import task
from gantool.runtime.provenance.signature import SUFFIX, signer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """The result of an export."""

    job: Job
    files: tuple[Path, ...]  # written: graphs, and plan with its sidecar
    graph: Graph  # in the requested precision
    engine: Engine | None
    bundle: Path | None
    signature: Path | None = None


@dataclass(frozen=True)
class _Graphs:
    """The FP32 graph and the graph of the requested precision, which may be the same one."""

    full: Graph
    last: Graph  # the engine is built from it
    made: tuple[Graph, ...]  # to write: not the source itself
    full_generator: Callable[[], Generator]
    last_generator: Callable[[], Generator | None]  # None if ONNX Runtime has no kernels for it


def export(
    source: str | PathLike[str] | None = None,
    options: ExportOptions = ExportOptions(),
    build_options: BuildOptions = BuildOptions(),
) -> Exported:
    """Export a checkpoint (None: that of the newest run), an ONNX graph or a bundle.

    Writes all files to a temporary folder beside BASE and renames them when every check has passed. Raises the
    errors of `gantool.runtime.errors`; then it has written nothing.
    """
    job = plan_export(None if source is None else Path(source), options, build_options)
    sign = None if options.sign is None else signer(options.sign)  # before any work
    page = web.Parts.find(options.web_runtime, options.directions) if options.web else None
    graphs = _graphs(job, options, build_options)
    engine = None
    if job.library is not None:
        if not options.overwrite:
            check_precision(job.base, job.library, graphs.last.recipe.precision)
        parsed = _in_floats(graphs.last, build_options)
        engine = build_engine(graphs.last, job.base, job.library, build_options, parsed)
    made = _write(job, options, build_options, graphs, engine, page)
    if sign is None:
        return made
    signature = job.base.with_name(job.base.name + SUFFIX)
    sign([*made.files, *([made.bundle] if made.bundle else [])], signature)
    return replace(made, signature=signature)


def _in_floats(graph: Graph, build_options: BuildOptions) -> bytes | None:
    """Return a graph of uint16 images in its form with floats, which TensorRT takes; None for any other graph."""
    if output_type(graph.path, graph.data, "images") != UINT16:
        return None
    if build_options.strip_weights:
        raise UsageError(
            f"`strip_weights` needs a graph that TensorRT takes, and {graph.name} makes uint16: export it with "
            "`output` float"
        )
    try:
        from gantool.export.graph.external import model_of
        from gantool.export.graph.without_tail import without_tail
    except ModuleNotFoundError as error:
        purpose = f"building an engine from {graph.name}, whose images have 16 bits,"
        raise MissingDependencyError(error.name or "onnx", "export", purpose) from error
    _log.info(
        f"{graph.name} makes uint16, which TensorRT lacks: the engine makes floats, and gantool rounds them"
    )
    return bytes(without_tail(model_of(graph.path, graph.data)).SerializeToString())


def _graphs(job: Job, options: ExportOptions, build_options: BuildOptions) -> _Graphs:
    """Make the FP32 graph, and the graph in a lower precision if requested."""
    source_graph = job.source.graph if isinstance(job.source, OwnGraph | BundleSource) else None
    on_disk = job.source.graph if isinstance(job.source, OwnGraph) and not job.source.changed else None
    if source_graph is not None and not options.precision.requested:
        carried = () if on_disk else (source_graph,)
        return _Graphs(
            source_graph, source_graph, carried, source_graph.generator, source_graph.generator_on_cpu
        )
    try:
        from gantool.export import stages, tune_lowering
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "onnx", "export", "making an ONNX graph") from error
    target = job.base.with_name(f"{job.base.name}.onnx")
    timer = tune_lowering.timer_for(options, build_options, job.library)
    with task(f"making {target.name}"):
        match job.source:
            case OwnGraph(graph) | BundleSource(graph=graph):
                full = stages.from_graph(graph)
            case ForeignGraph(path):
                full = stages.from_onnx(path, target, options, timer)
            case torch_source:
                full = stages.from_torch(torch_source.path, target, options, timer)
    last = full
    if options.precision.requested:
        with task("reducing the precision"):
            last = stages.reduce_precision(full, options.precision, job.base)
    if options.to_data is not None:
        with task("measuring the distance to the data"):
            last = stages.with_distances(last, full, options.to_data)
    every = [last.graph] if last.graph.path == full.graph.path else [full.graph, last.graph]
    made = tuple(graph for graph in every if graph is not on_disk)
    return _Graphs(full.graph, last.graph, made, full.as_user, lambda: last.generator)


def _write(
    job: Job,
    options: ExportOptions,
    build_options: BuildOptions,
    graphs: _Graphs,
    engine: Engine | None,
    page: web.Parts | None,
) -> Exported:
    """Write each file once to a temporary folder, verify it, and rename all into place."""
    contents = None
    with scratch(job.base.parent) as folder:
        for graph in graphs.made:
            graph.save(folder)
        plan = engine.save(folder) if engine else None
        if isinstance(job.source, BundleSource):
            bundle.verify_golden(job.source.bundle, plan or graphs.last)
        if job.entry is not None:
            if job.library == "rtx":
                _log.info(
                    f"Triton does not run TensorRT-RTX: {job.entry} gets {graphs.last.name}, for ONNX Runtime"
                )
            served = engine if job.library == "tensorrt" else None
            runs = None if served else graphs.last_generator()
            spec = None if runs is None else runs.spec
            contents = triton.contents(job.entry, graphs.last, spec, served, build_options)
        if page is not None:
            _write_page(folder / f"{job.base.name}{web.SUFFIX}", graphs, page)
        if options.bundle is not None:
            bundle.write(options.bundle, graphs.last, graphs.full_generator(), options.precision.min_psnr)
        if options.card:
            _write_card(folder, job, options, graphs, engine)
        files = [job.base.with_name(path.name) for path in sorted(folder.iterdir())]
        for path in files:
            (folder / path.name).replace(path)
        if contents is not None:  # last, since a running Triton may load it at once
            triton.write(contents)
    return Exported(job, tuple(files), graphs.last, engine, options.bundle)


def _write_card(
    folder: Path, job: Job, options: ExportOptions, graphs: _Graphs, engine: Engine | None
) -> None:
    """Write the model card of the files in `folder`, of the bundle, and of a graph that was there before."""
    files = [*sorted(folder.iterdir()), *([options.bundle] if options.bundle else [])]
    if isinstance(job.source, OwnGraph) and not job.source.changed:
        files.append(job.source.graph.path)
    run = job.source.run if isinstance(job.source, TorchSource) else None
    subject = card.Subject(job.base.name, graphs.full, graphs.last, engine, tuple(files), run)
    card.write(folder / f"{job.base.name}{card.SUFFIX}", subject)


def _write_page(target: Path, graphs: _Graphs, parts: web.Parts) -> None:
    """Write the page with the graph of the requested precision, or the FP32 graph if browsers lack the first."""
    graph, generator = graphs.last, graphs.last_generator()
    if generator is None:
        graph, generator = graphs.full, graphs.full_generator()
        _log.info(f"no browser computes in BF16: {target.name} gets {graph.name}")
    web.write(target, graph, generator.spec, parts)
