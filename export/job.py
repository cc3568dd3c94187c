"""What an export will do, settled by its flags and the first bytes of its source, before any work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from gantool.export.artifact import GRAPH_SUFFIXES, Graph
from gantool.export.engine.build import SUFFIXES, choose_library, gpu_problem
from gantool.export.engine.options import BuildOptions, Library, check_options
from gantool.export.options import ExportOptions, Foreign, Precision
from gantool.export.packaging import bundle, triton
from gantool.export.source import origin_of
from gantool.runtime.artifacts.onnx import check_inside, map_file, read_metadata
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError


@dataclass(frozen=True)
class TorchSource:
    """A generator as a PyTorch module: a checkpoint (None: of the newest run), or what --from makes."""

    path: Path | None


@dataclass(frozen=True)
class ForeignGraph:
    """An ONNX graph that was made elsewhere."""

    path: Path


@dataclass(frozen=True)
class OwnGraph:
    """A graph of gantool."""

    graph: Graph


@dataclass(frozen=True)
class Carried:
    """A bundle, and the graph in it."""

    bundle: bundle.Bundle
    graph: Graph


Source = TorchSource | ForeignGraph | OwnGraph | Carried


@dataclass(frozen=True)
class Job:
    """One export: from what, to which files."""

    source: Source
    base: Path  # files are BASE.onnx, BASE.fp16.onnx, BASE.plan ...
    library: Library | None  # the library that builds the engine
    entry: Path | None  # the folder of a model in a Triton repository


def settle(path: Path | None, options: ExportOptions, build_options: BuildOptions) -> Job:
    """Return what `gantool export` is to do. Raises UsageError or GantoolError for what cannot be done."""
    origin = origin_of(path, options.foreign)
    library = choose_library(options.engine)
    check_options(library, build_options)
    _check_engine_flags(library, options, build_options)
    if build_options.dla is not None and origin not in ("graph", "bundle") and not options.precision.asked:
        raise UsageError(f"`dla` {build_options.dla}: DLA computes in FP16 and INT8: add `fp16` or `int8`")
    source = _source(path, origin, options, build_options, library)
    base = options.base or _default_base(source)
    if base.suffix == ".onnx":  # as most tools name what they write
        base = base.with_suffix("")
    if not base.name or base.name == ".." or base.is_dir():
        raise UsageError(f"-o {base}: give a name for the files, as in -o {base / 'g'}")
    entry = None
    if options.triton is not None:
        entry = triton.parse_entry(options.triton, base.name)
        triton.check_options(library, build_options)
    _check_targets(base, options.bundle, entry, source.path if isinstance(source, ForeignGraph) else None)
    if isinstance(source, Carried):
        named = base.with_name(base.name + GRAPH_SUFFIXES[source.bundle.precision])
        source = replace(source, graph=replace(source.graph, path=named))
    return Job(source, base, library, entry)


def _source(
    path: Path | None,
    origin: str,
    options: ExportOptions,
    build_options: BuildOptions,
    library: Library | None,
) -> Source:
    """Tell what the generator is, and refuse flags that do not go with it."""
    if path is None or origin not in ("graph", "bundle"):
        return TorchSource(path)
    if origin == "bundle":
        _check_bundle_flags(path, options, build_options)
        return _carried(bundle.read(path))
    if options.opset is not None or options.foreign.origin is not None:
        raise UsageError(f"`opset` and `origin` are for checkpoints: {path} is a graph already")
    data = map_file(path)
    if not read_metadata(path, data):
        return ForeignGraph(path)
    check_inside(path, data)
    graph = Graph.of_data(path, data)
    _check_graph_flags(graph, options, library)
    return OwnGraph(graph)


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
            f"`lowering` auto times engines, and {problem}: add `engine` none to measure on this CPU, which "
            "says nothing of an engine, or run it on the device"
        )


def check_precision(base: Path, library: Library, new: str) -> None:
    """Raise UsageError, before an engine is built, where it would replace one of another precision."""
    plan = base.with_name(base.name + SUFFIXES[library])
    if not plan.exists():
        return
    try:
        sidecar = read_sidecar(plan)
    except GantoolError:  # a damaged one is no loss
        return
    old = sidecar.precision if sidecar else None
    if old is not None and old != new:
        other = base.with_name(f"{base.name}-{new}")
        raise UsageError(
            f"{plan} computes in {old.upper()}, and this export would put {new.upper()} in its place: add "
            f"-o {quote(str(other))}, or `overwrite`"
        )


def _check_targets(base: Path, bundled: Path | None, entry: Path | None, source: Path | None) -> None:
    """Raise UsageError, before any work, for places where the files could not go: onto their `source`, for one."""
    suffixes = (*GRAPH_SUFFIXES.values(), *SUFFIXES.values())
    targets = [*(base.with_name(base.name + suffix) for suffix in suffixes), *([bundled] if bundled else [])]
    for target in targets:
        if target.is_dir():
            raise UsageError(f"{target} is a folder, where a file is to go: move it, or choose another name")
        if source is not None and target.exists() and target.samefile(source):
            raise UsageError(
                f"the export would write over {source}, which it is made from: give another name with -o"
            )
    if bundled is not None and entry is not None and bundled.absolute() == entry.absolute():
        raise UsageError(f"`bundle` and `triton` are both {bundled}: give them different names")
    for target in (base, *(path for path in (bundled, entry and entry / "1" / "model") if path)):
        there = next(parent for parent in target.absolute().parents if parent.exists())
        if not there.is_dir():
            raise UsageError(f"{target} cannot be written: {there} is a file")


def _default_base(source: Source) -> Path:
    match source:
        case Carried():
            return source.bundle.path.with_suffix("")
        case OwnGraph():
            return without_suffix(source.graph.path)
    return Path("g")


def without_suffix(graph: Path) -> Path:
    """Return BASE of BASE.fp16.onnx, BASE.onnx or BASE, as a graph may be called; other dots belong to the name."""
    stem = graph.name[: -len(".onnx")] if graph.suffix.lower() == ".onnx" else graph.name
    return graph.with_name(stem.removesuffix(".fp16").removesuffix(".bf16").removesuffix(".int8"))


def _check_graph_flags(graph: Graph, options: ExportOptions, library: Library | None) -> None:
    if options.output is not None or options.lowering is not None or options.foreign != Foreign():
        raise UsageError(
            "`output`, `lowering`, `latent`, `classes`, `distribution`, `values` and `clamp` are settled in "
            f"{graph.path}"
        )
    if options.to_data is not None and not options.precision.asked:
        raise UsageError(
            f"`data` measures what this export makes of {graph.path}: add `fp16`, `bf16` or `int8`"
        )
    if options.bundle is not None:
        bundle.check_source(graph)
    if library is None and not (options.precision.asked or options.triton or options.bundle):
        if options.engine == "none":
            raise UsageError(
                f"{graph.path} with `engine` none leaves nothing to do: give `fp16`, `bf16`, `int8`, `triton`, "
                "`bundle` or an engine"
            )
        raise MissingDependencyError(
            "tensorrt or tensorrt_rtx", "rtx", f"building an engine from {graph.path}"
        )


def _check_bundle_flags(source: Path, options: ExportOptions, build_options: BuildOptions) -> None:
    settled = (options.opset, options.output, options.lowering, options.bundle, options.to_data)
    if settled != (None,) * 5 or options.precision != Precision() or options.foreign != Foreign():
        raise UsageError(
            f"{source} has its graph settled: leave out `opset`, `output`, `lowering`, `bundle`, `data` and "
            "the flags of precision and of generators from elsewhere"
        )
    for flag, given in (
        ("`strip_weights`", build_options.strip_weights),
        ("`version_compatible`", build_options.version_compatible),
    ):
        if given:
            raise UsageError(
                f"{flag} makes a plan that gantool does not run, so not the golden seeds either: leave it out, "
                f"or build from a graph"
            )


def _carried(read: bundle.Bundle) -> Carried:
    """Return a bundle with its graph."""
    graph = Graph.of_data(read.path / bundle.GRAPH, read.graph)
    if not graph.metadata:
        raise GantoolError(f"{read.path} holds no graph of gantool: make the bundle again")
    check_inside(graph.path, read.graph)
    return Carried(read, graph)
