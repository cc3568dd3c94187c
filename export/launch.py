"""From flags to files: graph, precision, parity, engine, sidecar; a file is proved before it has its name."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from shlex import quote

from gantool.export.engine.build import SUFFIXES, build, choose_flavour, gpu_problem
from gantool.export.engine.options import BuildOptions, Flavour, check_options
from gantool.export.given import metadata_of, other_weights
from gantool.export.options import ExportOptions, Foreign, Precision
from gantool.export.packaging import bundle, triton
from gantool.export.precision.psnr import PARITY_KEY
from gantool.export.source import origin_of
from gantool.runtime.artifacts.onnx import open_graph, read_metadata
from gantool.runtime.artifacts.plan import NAMES, identify, read_header
from gantool.runtime.artifacts.recipe import KEY, recipe_of
from gantool.runtime.artifacts.sidecar import read_sidecar, sha256, sidecar_path
from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.files import scratch

SUFFIX_OF = {"fp16": ".fp16.onnx", "bf16": ".bf16.onnx", "int8": ".int8.onnx"}


def export(source: Path | None, options: ExportOptions, build_options: BuildOptions) -> None:
    """Run `gantool export` on a checkpoint (None: that of the newest run), an ONNX graph or a bundle.

    Files are made and proved in a temporary folder beside BASE, then renamed into place.
    """
    origin = origin_of(source, options.foreign)
    flavour = choose_flavour(options.engine)
    check_options(flavour, build_options)
    plain = BuildOptions()
    sized = (build_options.min_batch, build_options.max_batch) != (plain.min_batch, plain.max_batch)
    measured = options.lowering == "auto" or options.triton is not None
    if flavour is None and (sized or build_options.opt_batch is not None) and not measured:
        raise UsageError(
            "--min-batch, --opt-batch and --max-batch are for an engine, and none is built: leave them out"
        )
    if options.lowering == "auto" and flavour is not None and (problem := gpu_problem(flavour)):
        raise UsageError(
            f"--lowering auto times engines, and {problem}: add --engine none to measure on this CPU, which "
            "says nothing of an engine, or run it on the device"
        )
    given_graph = source if origin == "graph" else None
    if build_options.dla is not None and origin not in ("graph", "bundle") and not options.precision.asked:
        raise UsageError(f"--dla {build_options.dla}: DLA computes in FP16 and INT8: add --fp16 or --int8")
    if given_graph:
        _check_graph_flags(given_graph, options, flavour)
    carried = None
    if source is not None and origin == "bundle":
        _check_bundle_flags(source, options, build_options)
        carried = bundle.read(source)
    foreign = given_graph is not None and _is_foreign(given_graph)
    base = options.base or _default_base(None if foreign else given_graph, carried)
    if base.suffix == ".onnx":  # as most tools name what they write
        base = base.with_suffix("")
    if not base.name or base.name == ".." or base.is_dir():
        raise UsageError(f"-o {base}: give a name for the files, as in -o {base / 'g'}")
    entry = contents = None
    if options.triton is not None:
        entry = triton.parse_entry(options.triton, base.name)
        triton.check_options(flavour, build_options)
    _check_targets(base, options.bundle, entry, given_graph if foreign else None)
    with scratch(base.parent) as folder:
        part = folder / base.name
        if carried:
            full = graph = _carried_graph(carried, part)
        else:
            full, graph = _graphs(source, given_graph, part, options, flavour, build_options)
        if flavour is not None and not options.overwrite:
            _check_precision(base, flavour, recipe_of(graph).precision)
        plan = None if flavour is None else _build_engine(graph, part, flavour, build_options)
        if carried:
            bundle.prove(carried, plan or graph, _note)
        if entry is not None:
            if flavour == "rtx":
                _note(f"Triton does not run TensorRT-RTX: {entry} gets {graph.name}, for ONNX Runtime")
            served = plan if flavour == "tensorrt" else None
            contents = triton.contents(entry, graph, served, build_options)
        made = sorted(folder.iterdir())
        if options.bundle is not None:
            bundle.write(options.bundle, graph, full, options.precision.min_psnr)
        for path in made:
            path.replace(base.with_name(path.name))
        if contents is not None:  # last, since it may go live at once
            triton.write(contents, _note)
    names = [path.name for path in made]
    graph = base.with_name(graph.name) if graph.name in names else graph
    _summarize(base, names, graph, flavour, entry, options.bundle, build_options)


def _check_precision(base: Path, flavour: Flavour, new: str) -> None:
    """Raise UsageError, before an engine is built, where it would replace one of another precision."""
    plan = base.with_name(base.name + SUFFIXES[flavour])
    if not plan.exists():
        return
    try:
        sidecar = read_sidecar(plan)
    except GantoolError:  # a damaged one is no loss
        return
    match sidecar.get("recipe"):
        case {"int8": {**int8}} if int8:
            old = "int8"
        case {"low": str(low)}:
            old = low
        case None:  # no sidecar
            return
        case _:
            old = "fp32"
    if old != new:
        other = base.with_name(f"{base.name}-{new}")
        raise UsageError(
            f"{plan} computes in {old.upper()}, and this export would put {new.upper()} in its place: add "
            f"-o {quote(str(other))}, or --overwrite"
        )


def _check_targets(base: Path, bundled: Path | None, entry: Path | None, source: Path | None) -> None:
    """Raise UsageError, before any work, for places where the files could not go: onto their `source`, for one."""
    suffixes = (".onnx", *SUFFIX_OF.values(), *SUFFIXES.values())
    targets = [*(base.with_name(base.name + suffix) for suffix in suffixes), *([bundled] if bundled else [])]
    for target in targets:
        if target.is_dir():
            raise UsageError(f"{target} is a folder, where a file is to go: move it, or choose another name")
        if source is not None and target.exists() and target.samefile(source):
            raise UsageError(
                f"the export would write over {source}, which it is made from: give another name with -o"
            )
    if bundled is not None and entry is not None and bundled.absolute() == entry.absolute():
        raise UsageError(f"--bundle and --triton are both {bundled}: give them different names")
    for target in (base, *(path for path in (bundled, entry and entry / "1" / "model") if path)):
        there = next(parent for parent in target.absolute().parents if parent.exists())
        if not there.is_dir():
            raise UsageError(f"{target} cannot be written: {there} is a file")


def _default_base(given_graph: Path | None, carried: bundle.Bundle | None) -> Path:
    if carried:
        return carried.path.with_suffix("")
    return _without_suffix(given_graph) if given_graph else Path("g")


def _without_suffix(graph: Path) -> Path:
    """Return BASE of BASE.fp16.onnx, BASE.onnx or BASE, as a graph may be called; other dots belong to the name."""
    stem = graph.name[: -len(".onnx")] if graph.suffix.lower() == ".onnx" else graph.name
    return graph.with_name(stem.removesuffix(".fp16").removesuffix(".bf16").removesuffix(".int8"))


def _check_graph_flags(graph: Path, options: ExportOptions, flavour: Flavour | None) -> None:
    if options.opset is not None or options.foreign.origin is not None:
        raise UsageError(f"--opset and --from are for checkpoints: {graph} is a graph already")
    foreign = _is_foreign(graph)
    if foreign:
        return
    open_graph(graph)
    if options.output is not None or options.lowering is not None or options.foreign != Foreign():
        raise UsageError(
            "--output, --lowering, --latent, --classes, --distribution, --range and --clamp are settled in "
            f"{graph}"
        )
    if options.to_data is not None and not options.precision.asked:
        raise UsageError(f"--data measures what this export makes of {graph}: add --fp16, --bf16 or --int8")
    if options.bundle is not None:
        bundle.check_source(graph)
    if flavour is None and not (options.precision.asked or options.triton or options.bundle):
        if options.engine == "none":
            raise UsageError(
                f"{graph} with --engine none leaves nothing to do: give --fp16, --bf16, --int8, --triton, "
                "--bundle or an engine"
            )
        raise MissingDependencyError("tensorrt or tensorrt_rtx", "rtx", f"building an engine from {graph}")


def _check_bundle_flags(source: Path, options: ExportOptions, build_options: BuildOptions) -> None:
    settled = (options.opset, options.output, options.lowering, options.bundle, options.to_data)
    if settled != (None,) * 5 or options.precision != Precision() or options.foreign != Foreign():
        raise UsageError(
            f"{source} has its graph settled: leave out --opset, --output, --lowering, --bundle, --data and "
            "the flags of precision and of generators from elsewhere"
        )
    for flag, given in (
        ("--strip-weights", build_options.strip_weights),
        ("--version-compatible", build_options.version_compatible),
    ):
        if given:
            raise UsageError(
                f"{flag} makes a plan that gantool does not run, so not the golden seeds either: leave it out, "
                f"or build from a graph"
            )


def _carried_graph(carried: bundle.Bundle, part: Path) -> Path:
    """Write the graph of a bundle as PART.onnx, or PART.fp16.onnx by its precision."""
    graph = part.with_name(part.name + SUFFIX_OF.get(carried.precision, ".onnx"))
    graph.write_bytes(carried.graph)
    if identify(graph) != "onnx" or _is_foreign(graph):
        raise GantoolError(f"{carried.path} holds no graph of gantool: make the bundle again")
    open_graph(graph)
    return graph


def _is_foreign(graph: Path) -> bool:
    return not read_metadata(graph)


def _graphs(
    source: Path | None,
    given_graph: Path | None,
    part: Path,
    options: ExportOptions,
    flavour: Flavour | None,
    build_options: BuildOptions,
) -> tuple[Path, Path]:
    """Write PART.onnx from a generator, PART.fp16.onnx if asked for; return the first, and what to build from."""
    foreign = given_graph is not None and _is_foreign(given_graph)
    if given_graph and not foreign and not options.precision.asked:
        return given_graph, given_graph
    try:
        from gantool.export import convert
        from gantool.export import tune_lowering as choose
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "onnx", "export", "making an ONNX graph") from error
    full = given_graph if given_graph and not foreign else part.with_name(f"{part.name}.onnx")
    runner = None
    if options.lowering == "auto":
        low = options.precision.low
        runner = (
            choose.host(build_options.batches[1])
            if flavour is None
            else choose.device(flavour, build_options, low)
        )
    if given_graph is None:
        reference = convert.graph_of_torch(source, full, options, _note, runner)
    elif foreign:
        reference = convert.graph_of_onnx(given_graph, full, options, _note, runner)
    else:
        reference = convert.reference_of_graph(given_graph)
    if not options.precision.asked:
        if options.to_data is not None:
            convert.add_distances(full, full, options.to_data, _note)
        return full, full
    low, name = convert.low_graph(full, options.precision, reference, _note)
    target = part.with_name(part.name + SUFFIX_OF[name])
    convert.prove(low, target, name, options.precision.min_psnr, reference, _note)
    if options.to_data is not None:
        convert.add_distances(full, target, options.to_data, _note)
    return full, target


def _build_engine(graph: Path, part: Path, flavour: Flavour, options: BuildOptions) -> Path:
    """Write PART.plan or PART.rtx.plan, and its sidecar; return the plan."""
    plan = part.with_name(part.name + SUFFIXES[flavour])
    _note(f"{plan.name}: building with {NAMES[flavour]} (seconds on a desktop, minutes on a Jetson) ...")
    started = time.monotonic()
    built = build(graph, flavour, options)
    plan.write_bytes(built.plan)
    sidecar = {
        "format": 1,
        "flavour": flavour,
        "version": built.version,
        "compute_capabilities": read_header(plan).compute_capabilities,
        "batch": dict(zip(("min", "opt", "max"), built.batches, strict=True)),
        "tensors": built.tensors,
        "receipt": built.receipt.to_json(),
        "stripped": options.strip_weights,
        "not_on_dla": built.not_on_dla,
        "graph": graph.name,
        "graph_sha256": sha256(graph),
        "plan_sha256": sha256(plan),
        "metadata": read_metadata(graph),
        "recipe": read_metadata(graph, KEY),
        "parity": read_metadata(graph, PARITY_KEY),  # of the graph, with its FP32 reference
    }
    sidecar_path(plan).write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")
    _note(f"{plan.name}: built in {time.monotonic() - started:.1f} s; {built.receipt}")
    if built.batches != options.batches:
        _note(
            f"{graph.name} has a fixed batch of {built.batches[0]}, which is the one that {plan.name} takes"
        )
    if options.version_compatible:
        _note(
            f"{plan.name} holds TensorRT's lean runtime, code that is run where it is loaded: trtexec and Triton "
            "do so when told that the plan is version-compatible, gantool generate does not"
        )
    if built.not_on_dla:
        _note(
            f"on the GPU, since DLA does not take them: {', '.join(built.not_on_dla)}; it takes transposed "
            "convolutions of --lowering dla or dla-onehot"
        )
    return plan


def _summarize(
    base: Path,
    names: list[str],
    graph: Path,
    flavour: Flavour | None,
    entry: Path | None,
    bundled: Path | None,
    build_options: BuildOptions,
) -> None:
    """Print each file with its size, what an earlier export left beside, and the next commands to paste."""
    files = [base.with_name(name) for name in names]
    files += [path for path in (bundled, entry and entry / triton.CONFIG) if path]
    width = max(len(str(file)) for file in files)
    for file in files:
        print(f"{file!s:{width}}  {_size(file.stat().st_size):>9}")
    family = [f"{base.name}{suffix}" for suffix in (".onnx", *SUFFIX_OF.values(), *SUFFIXES.values())]
    known = {*names, graph.name, _without_suffix(graph).name + ".onnx"}
    made = metadata_of(graph)
    for path in (base.with_name(name) for name in family if name not in known):
        if path.exists() and (stale := other_weights(made, metadata_of(path))):
            _note(f"note: {path} is left from an earlier export, with weights after {stale}")
    print("next:")
    if bundled is not None:
        print(f"  gantool export {quote(str(bundled))}  # on the device: builds the engine and proves it")
    elif flavour is None:
        print(f"  gantool export {quote(str(graph))}  # on the device: builds the engine, needs no torch")
    if flavour is not None:
        plan = quote(str(base) + SUFFIXES[flavour])
        if build_options.strip_weights:
            print(f"  gantool refit {plan} {quote(str(graph))}  # where the GPU is: puts the weights in")
        print(f"  gantool generate --engine {plan}  # where the GPU is")
    if graph.exists() and not recipe_of(graph).on_cpu:
        graph = graph.with_name(_without_suffix(graph).name + ".onnx")
    if graph.exists():
        print(f"  gantool generate --engine {quote(str(graph))}  # here, with ONNX Runtime")
    if entry is not None:
        same = " with the plan's version of TensorRT" if flavour == "tensorrt" else " of Triton"
        print(f"  {triton.command(entry.parent, build_options.version_compatible)}  # YY.MM: a release{same}")


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
