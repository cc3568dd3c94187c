"""`gantool tune`: make the files to choose from, hand them to `gantool.runtime.tune`, and keep the best.

Runs and checkpoints are exported in every precision and lowering that is asked for, which needs torch. Graphs,
plans and bundles are taken as they are: this needs NumPy and an engine library. Where a GPU can run engines, one is
built of each graph.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from shlex import quote
from typing import cast

from gantool.export import pipeline
from gantool.export.artifact import GRAPH_SUFFIXES
from gantool.export.engine.build import SUFFIXES, choose_library, gpu_problem
from gantool.export.engine.options import Library
from gantool.export.job import without_suffix
from gantool.export.options import DatasetDistance, ExportOptions, Lowering, Precision
from gantool.export.safetensors_header import checkpoint_metadata
from gantool.export.source import RUNS
from gantool.export.tune_options import TuneRequest
from gantool.models.config import CHECKPOINT_NAME
from gantool.runtime.artifacts.kinds import kind_of, wrong
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.recipe import recipe_of
from gantool.runtime.artifacts.sidecar import sidecar_path
from gantool.runtime.backends import providers
from gantool.runtime.bench import meter
from gantool.runtime.errors import (
    EngineMismatchError,
    GantoolError,
    MissingDependencyError,
    VerificationError,
)
from gantool.runtime.files import atomic, scratch
from gantool.runtime.runs import newest_run, run_number
from gantool.runtime.tune.options import TuneOptions
from gantool.runtime.tune.quality import MEASURED, Measure
from gantool.runtime.tune.result import Tuned
from gantool.runtime.tune.result import tune as measured
from gantool.runtime.tune.rows import Candidate

_log = logging.getLogger(__name__)

EXPECTED = "a run, a checkpoint, a graph, a plan, a bundle or a folder of these"
# An export in FP16 or INT8 also writes the FP32 graph; that of BF16 has a newer opset.
_ORDER = ("bf16", "fp16", "int8", "fp32")
_TRAINED, _ENGINES = ("run", "checkpoint"), ("onnx", "tensorrt", "rtx")


def tune(request: TuneRequest, options: TuneOptions, to_data: DatasetDistance | None = None) -> Tuned:
    """Measure what can be made of the sources; with `apply`, keep the best as BASE.

    to_data: the measure of `data`. Raises EngineMismatchError, after nothing was written, if `apply` finds nothing
    that fits; the errors of `pipeline.export` else.
    """
    sources = list(_sources(request))
    _check(options)
    with scratch(request.base.parent) as folder:
        candidates = [candidate for source in sources for candidate in _candidates(source, request, folder)]
        found = measured(candidates, options, _measure(to_data))
        if request.apply and found.best is not None:
            _keep(found.best.candidate, request.base)
        return found


def write_bundles(request: TuneRequest, to_data: DatasetDistance | None = None) -> list[Path]:
    """Write a bundle of each variant of the runs into the folder `bundle`; return their paths.

    With `to_data`, each graph has its distance to the data in its metadata.
    """
    assert request.bundle is not None
    sources = list(_sources(request))
    if others := [source.path for source in sources if source.kind not in _TRAINED]:
        raise GantoolError(f"{others[0]} is not a run: bundles are made of runs and checkpoints")
    written = []
    with scratch(request.bundle) as folder:
        for source in sources:
            for variant in _variants(source, request):
                target = (
                    folder / f"{variant.name}{GRAPH_SUFFIXES[variant.precision].removesuffix('.onnx')}.tar"
                )
                options = replace(variant.options(folder / "graphs" / "g"), bundle=target, to_data=to_data)
                if _exported(source, variant, options):
                    written.append(target.name)
        for name in written:
            (folder / name).replace(request.bundle / name)
    return [request.bundle / name for name in written]


def _check(options: TuneOptions) -> None:
    """Raise an error, before any work, for an unknown provider, and if no meter can tell the energy."""
    for name in options.provider or ():
        providers.choose(name)
    if options.budget.energy is None:
        return
    found = meter.find(on_gpu=_library() is not None)
    if not found.sources:
        raise GantoolError(f"`energy`: this machine has no meter that gantool can read: {found.missing}")


@dataclass(frozen=True)
class _Source:
    """A file or a run, as the user named it or as a folder holds it."""

    path: Path
    kind: str  # as `kind_of` calls it
    label: str  # unique; files that are made of it begin with it


@dataclass(frozen=True)
class _Variant:
    """One export of a run."""

    name: str
    precision: str
    lowering: str
    share: float | None  # of the width of an elastic generator; None: all of it

    def options(self, base: Path) -> ExportOptions:
        """Return the options of the export to BASE."""
        low = Precision(low=self.precision) if self.precision in ("fp16", "bf16") else Precision()  # type: ignore[arg-type]
        precision = Precision(int8=True) if self.precision == "int8" else low
        lowering = None if self.lowering == "none" else cast("Lowering", self.lowering)
        return ExportOptions(
            base=base, engine="none", lowering=lowering, precision=precision, slice=self.share
        )

    @property
    def flags(self) -> str:
        """The flags of gantool export."""
        width = "" if self.share is None else f" --slice {self.share:g}"
        precision = "" if self.precision == "fp32" else f" --{self.precision}"
        return width + precision + ("" if self.lowering == "none" else f" --lowering {self.lowering}")


def _sources(request: TuneRequest) -> Iterator[_Source]:
    """Yield the sources, folders resolved. Raises GantoolError for one that cannot be tuned."""
    paths: Sequence[Path] = request.sources
    if not paths:
        newest = newest_run(RUNS, CHECKPOINT_NAME)
        if newest is None:
            raise GantoolError(f"no run with a checkpoint in {RUNS}/: name {EXPECTED}")
        paths = [newest]
    taken: set[str] = set()
    for path in paths:
        for file in _files(path):
            kind = kind_of(file).name
            label = _label(file, kind)
            name = label if kind in _TRAINED else file.name  # of g.tar and g.fp16.tar, files have other names
            yield _Source(file, kind, f"{label}-{len(taken)}" if name in taken else label)
            taken.add(name)


def _files(path: Path) -> list[Path]:
    kind = kind_of(path)
    if kind.name in (*_TRAINED, *_ENGINES, "bundle"):
        return [path]
    if kind.name != "folder":
        raise GantoolError(wrong(path, EXPECTED, kind))
    found = [file for file in sorted(path.iterdir()) if kind_of(file).name in (*_ENGINES, "bundle")]
    if not found:
        raise GantoolError(f"{path} holds no graph, plan or bundle; expected {EXPECTED}")
    return found


def _label(file: Path, kind: str) -> str:
    """Return the number of a run, or the name of a file without its suffixes."""
    folder = file if kind == "run" else file.parent
    if kind in _TRAINED and run_number(folder) is not None:
        return folder.name.partition("-")[0]
    return file.name if kind == "run" else without_suffix(file.with_suffix("")).name


def _candidates(source: _Source, request: TuneRequest, folder: Path) -> Iterator[Candidate]:
    """Yield the graphs and plans of a source; those that are made are in `folder`."""
    library = _library()
    for graph, make, suffix in _graphs(source, request, folder):
        keep = None if make is None else f"{make} --engine none"
        yield Candidate(graph, _name(graph, source, make), str(source.path), suffix, keep)
        if library is not None and identify(graph) == "onnx":
            yield from _engine(source, graph, make, library, folder)


def _name(file: Path, source: _Source, make: str | None) -> str:
    return str(source.path) if make is None else file.name


def _graphs(source: _Source, request: TuneRequest, folder: Path) -> Iterator[tuple[Path, str | None, str]]:
    """Yield each graph, or the plan, of a source; the command that makes it, without --engine; and its suffix."""
    if source.kind in _ENGINES:
        yield source.path, None, _suffix(source.path)
        return
    make = f"gantool export {quote(str(source.path))}"
    if source.kind == "bundle":
        made = pipeline.export(source.path, ExportOptions(base=folder / source.label, engine="none"))
        yield made.graph.path, make, GRAPH_SUFFIXES[made.graph.recipe.precision]
        return
    full: Path | None = None  # the FP32 graph that the last export wrote beside another
    for variant in _variants(source, request):
        suffix = GRAPH_SUFFIXES[variant.precision]
        graph = folder / f"{variant.name}{suffix}"
        if graph == full or _exported(source, variant, variant.options(folder / variant.name)):
            if variant.precision != "bf16":
                full = folder / f"{variant.name}{GRAPH_SUFFIXES['fp32']}"
            yield graph, make + variant.flags, suffix


def _variants(source: _Source, request: TuneRequest) -> Iterator[_Variant]:
    for share, lowering in product(_shares(source), request.lowering):
        width = "" if share is None else f"-{share:g}x"
        name = f"{source.label}{width}{'' if lowering == 'none' else f'-{lowering}'}"
        for precision in sorted(request.precision, key=_ORDER.index):
            yield _Variant(name, precision, lowering, share)


def _shares(source: _Source) -> Iterator[float | None]:
    """Yield the widths of a generator: all of it, and the shares of an elastic one."""
    yield None
    checkpoint = source.path / CHECKPOINT_NAME if source.path.is_dir() else source.path
    shares = checkpoint_metadata(checkpoint).config.get("elastic")
    yield from (share for share in shares or () if isinstance(share, float) and 0 < share < 1)


def _exported(source: _Source, variant: _Variant, options: ExportOptions) -> bool:
    """Export a variant; return False, with a warning, if its images do not pass their check."""
    try:
        pipeline.export(source.path, options)
    except VerificationError as error:
        _log.warning(f"{variant.name} in {variant.precision.upper()} is left out: {error}")
        return False
    return True


def _engine(
    source: _Source, graph: Path, make: str | None, library: Library, folder: Path
) -> Iterator[Candidate]:
    """Build an engine of a graph for the GPU of this machine."""
    base = folder / f"{source.label}-{graph.name.removesuffix('.onnx')}"
    origin = source.path if source.kind == "bundle" else graph
    command = make or f"gantool export {quote(str(graph))}"
    try:
        pipeline.export(origin, ExportOptions(base=base, engine=library))
    except VerificationError as error:
        _log.warning(f"no engine of {graph.name}: {error}")
        return
    plan = base.with_name(base.name + SUFFIXES[library])
    name = f"{graph.name.removesuffix('.onnx')}{SUFFIXES[library]}"
    yield Candidate(plan, name, str(source.path), SUFFIXES[library], command)


def _library() -> Library | None:
    """Return the library whose engines can be built and run here; None without a GPU."""
    try:
        library = choose_library("auto")
        return None if library is None or gpu_problem(library) else library
    except (MissingDependencyError, EngineMismatchError):
        return None


def _suffix(file: Path) -> str:
    """Return the suffix that gantool export gives to such a file."""
    kind = identify(file)
    return GRAPH_SUFFIXES[recipe_of(file).precision] if kind == "onnx" else SUFFIXES[kind]


def _measure(to_data: DatasetDistance | None) -> Measure | None:
    if to_data is None:
        return None
    about = f"Fréchet distance of {MEASURED:,} images to {to_data.data} by {to_data.features}"
    return Measure(about, to_data.measure)


def _keep(best: Candidate, base: Path) -> None:
    """Copy a file, and the sidecar of a plan, to BASE and its suffix."""
    target = base.with_name(base.name + best.suffix)
    for source, copy in ((best.file, target), (sidecar_path(best.file), sidecar_path(target))):
        if source.exists() and not (copy.exists() and copy.samefile(source)):
            with atomic(copy) as part:
                shutil.copyfile(source, part)
