"""The summary of `gantool export`: the files, stale files of an earlier export, and the next commands."""

from __future__ import annotations

from shlex import quote

from gantool.export.artifact import GRAPH_SUFFIXES
from gantool.export.artifact_files import training_difference, training_metadata
from gantool.export.engine.build import SUFFIXES
from gantool.export.engine.options import BuildOptions
from gantool.export.job import without_suffix
from gantool.export.packaging import card, triton, web
from gantool.export.pipeline import Exported


def summary(made: Exported, build_options: BuildOptions) -> str:
    """Return a line for each file with its size, and the next commands."""
    entry = made.job.entry
    others = (made.bundle, made.signature, entry and entry / triton.CONFIG)
    files = [*made.files, *(path for path in others if path)]
    width = max((len(str(file)) for file in files), default=0)
    lines = [f"{file!s:{width}}  {_size(file.stat().st_size):>9}" for file in files]
    return "\n".join([*lines, "next:", *(f"  {line}" for line in _next(made, build_options))])


def stale_notes(made: Exported) -> list[str]:
    """Return a note for each file of an earlier export that has other weights."""
    base = made.job.base
    family = [f"{base.name}{suffix}" for suffix in (*GRAPH_SUFFIXES.values(), *SUFFIXES.values())]
    known = {path.name for path in made.files}
    known |= {made.graph.name, without_suffix(made.graph.path).name + ".onnx"}
    there = [path for path in (base.with_name(name) for name in family if name not in known) if path.exists()]
    return [
        f"note: {path} is from an earlier export, with weights after {stale}"
        for path in there
        if (stale := training_difference(made.graph.metadata, training_metadata(path)))
    ]


def _next(made: Exported, build_options: BuildOptions) -> list[str]:
    job, graph, lines = made.job, made.graph.path, []
    if made.bundle is not None:
        lines.append(
            f"gantool export {quote(str(made.bundle))}  # on the device: builds the engine and verifies it"
        )
    elif job.library is None:
        lines.append(
            f"gantool export {quote(str(graph))}  # on the device: builds the engine, needs no torch"
        )
    if job.library is not None:
        plan = quote(str(job.base) + SUFFIXES[job.library])
        if build_options.strip_weights:
            lines.append(
                f"gantool refit {plan} {quote(str(graph))}  # on the GPU's machine: adds the weights"
            )
        lines.append(f"gantool generate --engine {plan}  # on the GPU's machine")
    if not made.graph.recipe.on_cpu:
        graph = graph.with_name(without_suffix(graph).name + ".onnx")
    if graph.exists():
        lines.append(f"gantool generate --engine {quote(str(graph))}  # here, with ONNX Runtime")
    if page := next((path for path in made.files if path.suffix == web.SUFFIX), None):
        lines.append(
            f"python3 -m webbrowser {quote(str(page))}  # or open it in any browser: it needs no network"
        )
    if sheet := next((path for path in made.files if path.suffix == card.SUFFIX), None):
        count = card.questions(sheet)
        lines.append(f'grep "Answer this" {quote(str(sheet))}  # {count} questions that only you can answer')
    if job.entry is not None:
        same = " with the plan's version of TensorRT" if job.library == "tensorrt" else " of Triton"
        command = triton.command(job.entry.parent, build_options.version_compatible)
        lines.append(f"{command}  # YY.MM: a release{same}")
    return lines


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
