"""`gantool inspect`: describe a file, from checkpoint to film, without an engine library or a GPU.

A plan without a sidecar is loaded where that works: nothing else knows its tensors.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gantool.export.artifact_files import CHECKPOINT, list_files, resolve_file
from gantool.export.inspect_image import image_facts
from gantool.export.macs import shares
from gantool.export.packaging import bundle
from gantool.export.safetensors_header import metadata_in, safetensors_header
from gantool.runtime import Generator
from gantool.runtime.artifacts.kinds import kind_of
from gantool.runtime.artifacts.onnx import PARITY_KEY, RECIPE_KEY, open_graph, read_json, read_metadata
from gantool.runtime.artifacts.plan import NAMES, describe, identify, read_header, version_text
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.errors import GantoolError
from gantool.runtime.metadata import Metadata
from gantool.runtime.process.terminal import short
from gantool.runtime.signature import tensors_of

CLASSES = 20  # named at most


@dataclass(frozen=True)
class ListedFile:
    """A file in a folder."""

    file: Path
    kind: str
    bytes: int


@dataclass(frozen=True)
class Inspection:
    """The facts about a file, or the files of a folder."""

    path: Path
    facts: dict[str, Any]  # by name, as in JSON; {} for a folder
    files: tuple[ListedFile, ...] = ()  # () for a file

    def to_json(self) -> Any:
        """Return what `gantool inspect --json` prints."""
        return self.facts or [{**asdict(found), "file": str(found.file)} for found in self.files]

    def text(self) -> str:
        """Return the facts aligned for people, or one line for each file of a folder."""
        if self.files:
            width = max(len(str(found.file)) for found in self.files)
            return "\n".join(
                f"{found.file!s:<{width}}  {found.bytes:>13,} bytes  {found.kind}" for found in self.files
            )
        lines, width = [], max(map(len, self.facts))
        for name, value in self.facts.items():
            if isinstance(value, list):
                lines.append(f"{name}:")
                lines += [
                    "  " + "  ".join(f"{short(entry):<14}" for entry in row.values()).rstrip()
                    for row in value
                ]
            else:
                lines.append(f"{name:<{width}}  {_text(value)}")
        return "\n".join(lines)


def inspect(path: str | PathLike[str]) -> Inspection:
    """Describe a checkpoint, graph, plan, bundle, image, film or run, or list the files of a folder.

    Raises GantoolError for a file that is damaged or not gantool's.
    """
    place = Path(path)
    if place.is_dir() and not (place / CHECKPOINT).is_file():
        return Inspection(place, {}, _files(place))
    return Inspection(place, facts(resolve_file(place)))


def _files(folder: Path) -> tuple[ListedFile, ...]:
    """Return the files in a folder that gantool may have made. Raises GantoolError if there are none."""
    found = []
    for path in list_files(folder):
        try:
            kind = _kind(path)
        except GantoolError as error:
            kind = f"damaged: {error}"
        found.append(ListedFile(path, kind, path.stat().st_size))
    if not found:
        raise GantoolError(
            f"{folder} holds no checkpoint, graph, plan or bundle: name another folder, or a file"
        )
    return tuple(found)


def _kind(path: Path) -> str:
    if safetensors_header(path) is not None:
        return "checkpoint"
    if bundle.is_bundle(path):
        return "bundle"
    kind = identify(path)
    return f"{NAMES[kind]} graph" if kind == "onnx" else describe(read_header(path))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return (
            ", ".join(
                f"{short(name)} {short(entry) if isinstance(entry, str) else _text(entry)}"
                for name, entry in value.items()
            )
            or "none"
        )
    return f"{value:,}" if type(value) is int else str(value)


def facts(path: Path) -> dict[str, Any]:
    """Return the facts about a file, by name. Raises GantoolError if it is damaged or not gantool's."""
    header = safetensors_header(path)
    if header is not None:
        return {"file": str(path), "kind": "checkpoint", **_checkpoint(path, header)}
    if bundle.is_bundle(path):
        return {"file": str(path), "kind": "bundle", **_bundle(path)}
    if (form := kind_of(path)).name in ("image", "video"):
        kind = form.found.removeprefix("is ").partition(" ")[2]  # without the article
        return {"file": str(path), "kind": kind, **image_facts(path)}
    kind = identify(path)
    facts = _graph(path) if kind == "onnx" else _plan(path)
    return {"file": str(path), "kind": f"{NAMES[kind]} {'graph' if kind == 'onnx' else 'plan'}", **facts}


def _classes(metadata: Metadata) -> dict[str, str]:
    """Return one entry with the classes of a conditional generator; {} if unconditional, or if they are damaged."""
    try:
        classes, names = metadata.classes, metadata.class_names
    except GantoolError:
        return {}
    if classes < 1:
        return {}
    shown = [f"{number} {short(name)}" for number, name in enumerate(names[:CLASSES])]
    more = [f"... {classes - 1} {short(names[-1])}"] if classes > CLASSES and names else []
    return {"classes": f"{classes}: {', '.join([*shown, *more])}" if names else f"{classes}, without names"}


def _authorship(metadata: Metadata) -> dict[str, str]:
    """Return what the author says of a generator; {} if it is damaged: the metadata show it."""
    try:
        texts = metadata.authorship.to_json()
    except GantoolError:
        return {}
    return {name.replace("_", " "): text for name, text in texts.items()}


def _checkpoint(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    metadata = metadata_in(path, header)
    try:
        sizes = {
            name: math.prod(entry["shape"])
            for name, entry in header.items()
            if not name.endswith(
                ("running_mean", "running_var", "num_batches_tracked")
            )  # statistics, not learned
        }
        types = Counter(entry["dtype"] for entry in header.values())
    except (ValueError, TypeError) as error:
        reason = str(error)[:200]
        raise GantoolError(f"{path} is a damaged checkpoint ({reason}): copy it again") from error
    weights = [
        {"name": name, "shape": entry["shape"], "type": entry["dtype"]} for name, entry in header.items()
    ]
    return {
        "metadata": metadata.to_json() or "none of gantool's",
        **_classes(metadata),
        "parameters": sum(sizes.values()),
        "types": dict(types),
        "weights": weights,
    }


def _plan(path: Path) -> dict[str, Any]:
    header = read_header(path)  # also checks that the file is complete
    sidecar = read_sidecar(path)
    said = sidecar.to_json() if sidecar else {}
    receipt = said.get("receipt", {})
    whole = "not in the header" if header.size is None else "as the header says"
    return {
        "what": describe(header),
        "version": version_text(header.version),
        "compute capabilities": ", ".join(header.compute_capabilities) or "not in the header",
        "size": f"{path.stat().st_size:,} bytes, {whole}",
        "sidecar": "there, and the plan's SHA-256 is its"
        if sidecar
        else f"no {path.name}.json: little is known",
        "batch": said.get("batch", "unknown"),
        **{name: said.get(name, {} if sidecar else "unknown") for name in ("metadata", "recipe", "parity")},
        **({**_authorship(sidecar.metadata), **_classes(sidecar.metadata)} if sidecar else {}),
        "multiply-adds by type": "unknown"
        if not receipt
        else {kind: f"{share:.1%}" for kind, share in receipt.get("shares", {}).items()},
        "types from": receipt.get("source", "unknown"),
        "multiply-adds": sum(layer["multiply_adds"] for layer in receipt["layers"]) if receipt else "unknown",
        "tensors": [{"name": name, **entry} for name, entry in said.get("tensors", {}).items()]
        if sidecar
        else _of_engine(path),
        "layers": receipt.get("layers", []),
    }


def _of_engine(path: Path) -> list[dict[str, Any]]:
    """Return the tensors of a plan without a sidecar by loading its engine; [] if it cannot load here."""
    try:
        with Generator.load(path) as generator:
            spec = generator.spec
    except GantoolError:
        return []
    return [{"name": tensor.name, **tensor.to_json()} for tensor in tensors_of(spec)]


def _bundle(path: Path) -> dict[str, Any]:
    carried = bundle.read(path)  # checks the members against the manifest
    count, *size = carried.golden.shape
    known = {
        "size": f"{path.stat().st_size:,} bytes, its members as their SHA-256 say",
        "precision": carried.precision,
        "golden images": f"{count} of {'×'.join(map(str, size))}, to be reached within {carried.min_psnr:g} dB",
    }
    with TemporaryDirectory() as folder:
        graph = Path(folder) / bundle.GRAPH
        graph.write_bytes(carried.graph)
        return {**known, **_graph(graph)}


def _graph(path: Path) -> dict[str, Any]:
    data = open_graph(path)
    metadata = read_metadata(path, data)
    known = {
        "metadata": metadata.to_json(),
        "recipe": read_json(path, RECIPE_KEY, data),
        "parity": read_json(path, PARITY_KEY, data),
    }
    try:
        import onnx

        from gantool.export.graph.external import read_model
        from gantool.export.graph.layers import layers_of, shapes_of, type_name
    except ModuleNotFoundError as error:  # a device may lack onnx; the metadata are read without it
        if error.name != "onnx":
            raise
        return {**known, "graph": "to show its layers, install onnx: pip install onnx"}
    try:
        model = onnx.shape_inference.infer_shapes(read_model(path))
        graph, opset = model.graph, model.opset_import[0].version
    except GantoolError:
        raise
    except Exception as error:  # errors of protobuf and onnx have no common base
        raise GantoolError(
            f"{path} is damaged ({' '.join(str(error).split())[:200]}): copy it again"
        ) from error
    shapes = shapes_of(graph)
    layers = layers_of(graph, shapes)
    types = Counter(type_name(weight.data_type) for weight in graph.initializer)
    values = [*(("INPUT", value) for value in graph.input), *(("OUTPUT", value) for value in graph.output)]
    found = {
        "opset": opset,
        **known,
        **_authorship(metadata),
        **_classes(metadata),
        "parameters": sum(math.prod(weight.dims) for weight in graph.initializer),
        "weights by type": dict(types),
        "multiply-adds": sum(layer.multiply_adds for layer in layers),
        "multiply-adds by type": {kind: f"{share:.1%}" for kind, share in shares(layers).items()},
        "operators": dict(Counter(_readable(node.op_type) for node in graph.node)),
        "tensors": [
            {
                "name": value.name,
                "mode": mode,
                "type": type_name(value.type.tensor_type.elem_type),
                "shape": shapes[value.name],
            }
            for mode, value in values
        ],
        "layers": [asdict(layer) for layer in layers],
    }
    return {name: _readable(value) for name, value in found.items()}


def _readable(value: Any) -> Any:
    """Return a value with text for bytes: protobuf gives text that is not UTF-8 as bytes."""
    match value:
        case bytes():
            return value.decode("utf-8", "replace")
        case dict():
            return {name: _readable(each) for name, each in value.items()}
        case list() | tuple():
            return [_readable(each) for each in value]
    return value
