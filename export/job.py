"""Plan an export from its options and the first bytes of its source, before any work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from gantool.export.artifact import GRAPH_SUFFIXES, Graph
from gantool.export.engine.build import SUFFIXES, choose_library, gpu_problem
from gantool.export.engine.options import BuildOptions, Library, check_options
from gantool.export.options import ExportOptions, Foreign, Precision
from gantool.export.packaging import bundle, card, triton, web
from gantool.export.source import RUNS, origin_of
from gantool.models.config import CHECKPOINT_NAME
from gantool.runtime.artifacts.onnx import check_inside, map_file, read_metadata
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.runs import newest_run


@dataclass(frozen=True)
class TorchSource:
    """A PyTorch generator: a checkpoint, or the module that --from makes."""

    path: Path | None
    run: Path | None = None  # the folder of a checkpoint


@dataclass(frozen=True)
class ForeignGraph:
    """An ONNX graph from elsewhere."""

    path: Path


@dataclass(frozen=True)
class OwnGraph:
    """A graph that gantool wrote."""

    graph: Graph
    changed: bool = False  # it has other metadata than its file, so it is written


@dataclass(frozen=True)
class BundleSource:
    """A bundle, and the graph in it."""

    bundle: bundle.Bundle
    graph: Graph


Source = TorchSource | ForeignGraph | OwnGraph | BundleSource


@dataclass(frozen=True)
class Job:
    """One export: its source and its files."""

    source: Source
    base: Path  # files are BASE.onnx, BASE.fp16.onnx, BASE.plan ...
    library: Library | None  # builds the engine; None: no engine
    entry: Path | None  # the folder of a model in a Triton repository


def plan_export(path: Path | None, options: ExportOptions, build_options: BuildOptions) -> Job:
    """Return the plan of an export. Raises UsageError or GantoolError if it cannot be done."""
    origin = origin_of(path, options.foreign)
    if options.slice is not None and origin != "checkpoint":
        raise UsageError(f"`slice` {options.slice:g} is for a checkpoint of gantool distill: leave it out")
    library = choose_library(options.engine)
    check_options(library, build_options)
    _check_engine_flags(library, options, build_options)
    if (
        build_options.dla is not None
        and origin not in ("graph", "bundle")
        and not options.precision.requested
    ):
        raise UsageError(
            f"`dla` {build_options.dla}: DLA computes only in FP16 and INT8: add `fp16` or `int8`"
        )
    source = _source(path, origin, options, build_options, library)
    base = options.base or _default_base(source)
    if base.suffix == ".onnx":  # a user may give the name of the graph
        base = base.with_suffix("")
    if not base.name or base.name == ".." or base.is_dir():
        raise UsageError(f"-o {base}: give a name for the files, as in -o {base / 'g'}")
    entry = None
    if options.triton is not None:
        entry = triton.parse_entry(options.triton, base.name)
        triton.check_options(library, build_options)
    page = base.with_name(base.name + web.SUFFIX) if options.web else None
    sheet = base.with_name(base.name + card.SUFFIX) if options.card else None
    others = tuple(path for path in (options.bundle, page, sheet) if path)
    _check_targets(base, others, entry, _must_stay(source))
    if sheet is not None:
        card.check_target(sheet, overwrite=options.overwrite)
    if options.bundle is not None and entry is not None and options.bundle.absolute() == entry.absolute():
        raise UsageError(f"`bundle` and `triton` are both {options.bundle}: give them different names")
    if isinstance(source, BundleSource) or (isinstance(source, OwnGraph) and source.changed):
        named = base.with_name(base.name + GRAPH_SUFFIXES[source.graph.recipe.precision])
        source = replace(source, graph=replace(source.graph, path=named))
    return Job(source, base, library, entry)


def _source(
    path: Path | None,
    origin: str,
    options: ExportOptions,
    build_options: BuildOptions,
    library: Library | None,
) -> Source:
    """Return the source. Raises UsageError for flags that do not apply to it."""
    if path is None or origin not in ("graph", "bundle"):
        return _torch_source(path, origin)
    if origin == "bundle":
        _check_bundle_flags(path, options, build_options)
        return _bundle_source(bundle.read(path), options)
    if options.opset is not None or options.foreign.origin is not None:
        raise UsageError(f"`opset` and `origin` are for PyTorch generators: {path} is a graph already")
    data = map_file(path)
    if not read_metadata(path, data):
        return ForeignGraph(path)
    check_inside(path, data)
    graph = Graph.of_data(path, data)
    source = OwnGraph(graph.with_authorship(options.authorship))
    source = replace(source, changed=source.graph is not graph)
    _check_graph_flags(source, options, library)
    return source


def _torch_source(path: Path | None, origin: str) -> TorchSource:
    """Return the source; a checkpoint is that of the run that is the newest now."""
    if origin != "checkpoint":
        return TorchSource(path)
    if path is None and (run := newest_run(RUNS, CHECKPOINT_NAME)):
        path = run / CHECKPOINT_NAME
    return TorchSource(path, path if path is None or path.is_dir() else path.parent)


def _check_engine_flags(library: Library | None, options: ExportOptions, build_options: BuildOptions) -> None:
    plain = BuildOptions()
    sized = (build_options.min_batch, build_options.max_batch) != (plain.min_batch, plain.max_batch)
    measured = options.lowering == "auto" or options.triton is not None
    if library is None and (sized or build_options.opt_batch is not None) and not measured:
        raise UsageError(
            "`min_batch`, `opt_batch` and `max_batch` are for an engine, and none is built: leave them out"
        )
    if options.lowering == "auto" and library is not None and (problem := gpu_problem(library)):
        raise UsageError(
            f"`lowering` auto times engines, and {problem}: run it on the device, or add `engine` none to time "
            "the graph on this CPU, which does not predict the speed of an engine"
        )


def check_precision(base: Path, library: Library, new: str) -> None:
    """Raise UsageError, before an engine is built, if it would replace a plan of another precision."""
    plan = base.with_name(base.name + SUFFIXES[library])
    if not plan.exists():
        return
    try:
        sidecar = read_sidecar(plan)
        old = sidecar.precision if sidecar else None
    except GantoolError:  # a damaged plan may be replaced
        return
    if old is not None and old != new:
        other = base.with_name(f"{base.name}-{new}")
        raise UsageError(
            f"{plan} computes in {old.upper()}, and this export would replace it by {new.upper()}: add "
            f"-o {quote(str(other))}, or `overwrite`"
        )


def _check_targets(base: Path, others: tuple[Path, ...], entry: Path | None, source: Path | None) -> None:
    """Raise UsageError, before any work, if a target cannot be written, or is the `source`."""
    suffixes = (*GRAPH_SUFFIXES.values(), *SUFFIXES.values())
    targets = [*(base.with_name(base.name + suffix) for suffix in suffixes), *others]
    for target in targets:
        if target.is_dir():
            raise UsageError(f"{target} is a folder, expected a file: move it, or choose another name")
        if source is not None and target.exists() and target.samefile(source):
            raise UsageError(f"the export would overwrite its source {source}: give another name with -o")
    for target in (base, *others, *([entry / "1" / "model"] if entry else [])):
        there = next(parent for parent in target.absolute().parents if parent.exists())
        if not there.is_dir():
            raise UsageError(f"{target} cannot be written: {there} is a file")


def _default_base(source: Source) -> Path:
    match source:
        case BundleSource():
            return source.bundle.path.with_suffix("")
        case OwnGraph():
            return without_suffix(source.graph.path)
    return Path("g")


def without_suffix(graph: Path) -> Path:
    """Return BASE of BASE.fp16.onnx, BASE.onnx or BASE; other dots belong to the name."""
    stem = graph.name[: -len(".onnx")] if graph.suffix.lower() == ".onnx" else graph.name
    return graph.with_name(stem.removesuffix(".fp16").removesuffix(".bf16").removesuffix(".int8"))


def _must_stay(source: Source) -> Path | None:
    """Return the graph that the export reads, and that it would write under the same name."""
    match source:
        case ForeignGraph(path):
            return path
        case OwnGraph(graph, changed=True):
            return graph.path
    return None


def _check_graph_flags(source: OwnGraph, options: ExportOptions, library: Library | None) -> None:
    graph = source.graph
    settled = (options.output, options.lowering, options.soft_labels or None)
    if settled != (None,) * 3 or options.foreign != Foreign():
        raise UsageError(
            "`output`, `lowering`, `soft_labels`, `latent`, `classes`, `distribution`, `values` and `clamp` are "
            f"fixed in {graph.path}: leave them out"
        )
    if options.to_data is not None and not options.precision.requested:
        raise UsageError(
            f"`data` measures a graph that this export makes from {graph.path}: add `fp16`, `bf16` or `int8`"
        )
    if options.bundle is not None:
        bundle.check_source(graph)
    if options.web and not graph.recipe.on_cpu:
        raise UsageError(
            f"`web` needs a graph that browsers compute, and {graph.path} is in BF16: give the FP32 graph"
        )
    extras = options.triton or options.bundle or options.web or options.card or source.changed
    if library is None and not (options.precision.requested or extras):
        if options.engine == "none":
            raise UsageError(
                f"{graph.path} with `engine` none leaves nothing to do: give `fp16`, `bf16`, `int8`, `triton`, "
                "`bundle`, `web`, `card`, an engine, or a text that it does not have, as `author`"
            )
        raise MissingDependencyError(
            "tensorrt or tensorrt_rtx", "rtx", f"building an engine from {graph.path}"
        )


def _check_bundle_flags(source: Path, options: ExportOptions, build_options: BuildOptions) -> None:
    settled = (options.opset, options.output, options.lowering, options.bundle, options.to_data)
    if (
        settled != (None,) * 5
        or options.soft_labels
        or options.precision != Precision()
        or options.foreign != Foreign()
    ):
        raise UsageError(
            f"{source} holds a finished graph: leave out `opset`, `output`, `lowering`, `soft_labels`, `bundle`, "
            "`data` and "
            "the flags of precision and of generators from elsewhere"
        )
    for flag, is_set in (
        ("`strip_weights`", build_options.strip_weights),
        ("`version_compatible`", build_options.version_compatible),
    ):
        if is_set:
            raise UsageError(
                f"{flag} makes a plan that gantool cannot run, so it cannot check the golden images: leave it out, "
                f"or build from a graph"
            )


def _bundle_source(read: bundle.Bundle, options: ExportOptions) -> BundleSource:
    """Return a bundle with its graph. Raises GantoolError if it does not hold a graph of gantool."""
    graph = Graph.of_data(read.path / bundle.GRAPH, read.graph)
    if not graph.metadata:
        raise GantoolError(f"{read.path} does not hold a graph of gantool: make the bundle again")
    check_inside(graph.path, read.graph)
    return BundleSource(read, graph.with_authorship(options.authorship))
