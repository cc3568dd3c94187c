"""The bundle: one tar to carry to a device, with the graph, its recipe, and golden images for the engine.

    bundle.json           the manifest, with size and SHA-256 of the other members
    graph.onnx            the engine is built from it
    recipe.json           the precision of each node, if the graph is not in FP32
    golden/seed0000.png   ... seed0009.png: images of the FP32 graph, by ONNX Runtime

The same export gives the same bytes. Reading needs neither torch nor onnx, and trusts nothing in the file
unchecked.
"""

from __future__ import annotations

import io
import json
import logging
import tarfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import gantool
from gantool.export.artifact import Graph
from gantool.export.precision.psnr import MIN_PSNR, compare
from gantool.runtime import Generator
from gantool.runtime.classes import labels
from gantool.runtime.errors import (
    EngineMismatchError,
    GantoolError,
    MissingDependencyError,
    UsageError,
    VerificationError,
)
from gantool.runtime.files import atomic
from gantool.runtime.foreign import parse_json
from gantool.runtime.outputs.encoding import Encoding
from gantool.runtime.spec import Images

_log = logging.getLogger(__name__)

FORMAT = 1
SEEDS = range(10)
MANIFEST, GRAPH, RECIPE = "bundle.json", "graph.onnx", "recipe.json"
GOLDEN = tuple(f"golden/seed{seed:04d}.png" for seed in SEEDS)
# The members that a bundle may hold, with their largest sizes in bytes; protobuf is limited to 2 GiB.
LIMITS = {MANIFEST: 2**20, GRAPH: 2**31, RECIPE: 2**24, **dict.fromkeys(GOLDEN, 2**24)}
MAX_SIDE = 4096  # pixels
_PNG = Encoding(level=6)  # another level would change the bytes of bundles


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked against its manifest."""

    path: Path
    graph: bytes
    precision: str
    min_psnr: float  # dB that each image of an engine must reach
    golden: Images  # [10, H, W, C]


def check_source(graph: Graph) -> None:
    """Raise UsageError, before any work, if the graph is not in FP32 and cannot make golden images."""
    if (precision := graph.recipe.precision) != "fp32":
        raise UsageError(
            f"`bundle` takes its golden images from the FP32 graph, and {graph.path} is in {precision.upper()}: "
            f"give the FP32 graph and `recipe` {graph.path}"
        )


def write(target: Path, graph: Graph, full: Generator, min_psnr: float | None) -> None:
    """Write a bundle of `graph`. The generator `full` of the FP32 graph makes its golden images.

    `min_psnr` is the limit for engines, in dB; None: MIN_PSNR of the precision.
    """
    images, classes = full.images(SEEDS), full.spec.classes
    members = {GRAPH: graph.data[:]}
    if recipe := graph.recipe.to_json():
        members[RECIPE] = _json(recipe)
    members |= {name: _PNG.encode(image) for name, image in zip(GOLDEN, images, strict=True)}
    precision = graph.recipe.precision
    manifest = {
        "format": FORMAT,
        "gantool": gantool.__version__,
        "precision": precision,
        "opset": _opset(graph),
        "metadata": graph.metadata.to_json(),
        "seeds": list(SEEDS),
        "labels": labels(SEEDS, classes).tolist() if classes else None,
        "min_psnr": min_psnr or MIN_PSNR[precision],
        "members": {name: {"size": len(data), "sha256": _digest(data)} for name, data in members.items()},
    }
    with atomic(target) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in {MANIFEST: _json(manifest), **members}.items():
            info = tarfile.TarInfo(name)  # its time and owner are 0
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def is_bundle(path: Path) -> bool:
    """Tell by the first bytes whether a file is a bundle, perhaps a damaged one."""
    start = f"{MANIFEST}\0".encode()
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(start)) == start


def read(path: Path) -> Bundle:
    """Read a bundle. Raises GantoolError if it is damaged or not as `write` writes it."""
    if not path.is_file():
        raise GantoolError(f"there is no file {path}: make a bundle with gantool export --bundle {path.name}")
    members = _members(path)
    if missing := [name for name in (MANIFEST, GRAPH, *GOLDEN) if name not in members]:
        raise _refused(path, f"{missing[0]} is missing")
    precision, min_psnr, listed = _manifest(path, members.pop(MANIFEST))
    found = {name: {"size": len(data), "sha256": _digest(data)} for name, data in members.items()}
    for name in sorted(found.keys() | listed.keys()):
        if found.get(name) != listed.get(name):
            raise _refused(path, f"{name} is not the one that {MANIFEST} lists (size or SHA-256)")
    golden = [_pixels(path, name, members[name]) for name in GOLDEN]
    if len({image.shape for image in golden}) > 1:
        raise _refused(path, "its golden images differ in size")
    return Bundle(path, members[GRAPH], precision, min_psnr, np.stack(golden))


def verify_golden(bundle: Bundle, made: Graph | Path) -> None:
    """Compare the images of the bundle's graph, or of a plan built from it, with the golden images.

    Raises VerificationError if an image differs too much. Warns if `made` cannot run here.
    """
    graph = isinstance(made, Graph)
    if isinstance(made, Graph) and not made.recipe.on_cpu:
        _log.warning(
            "the golden seeds were not run: no engine was built, and ONNX Runtime has no convolution in BF16"
        )
        return
    try:
        with made.generator() if isinstance(made, Graph) else Generator.load(made) as generator:
            images = generator.images(SEEDS)
    except (EngineMismatchError, MissingDependencyError) as error:
        # leave out the temporary folder, and advice about files in it
        reason = str(error).partition("; ")[0]
        if isinstance(made, Path):
            reason = reason.replace(f"{made.parent}/", "")
        _log.warning(f"the golden seeds were not run: {reason}")
        return
    where = f"{made.name} against the golden images of {bundle.path.name}"
    if images.shape != bundle.golden.shape:
        raise VerificationError(
            f"{where}: its images are {list(images.shape)}, expected {list(bundle.golden.shape)}. Nothing was "
            "kept; make the bundle again"
        )
    parity = compare(bundle.golden, images)
    if parity.psnr < bundle.min_psnr:
        raise VerificationError(
            f"{where}: {parity}; expected at least {bundle.min_psnr:g} dB on each of {len(SEEDS)} seeds. Nothing "
            "was kept; make the bundle again with more in FP32 (`keep_fp32`), or with a lower `min_psnr`"
        )
    _log.info(f"{where}: {parity}{', by ONNX Runtime; no engine was built' if graph else ''}")


def _members(path: Path) -> dict[str, bytes]:
    """Return the members of a tar. Accepts only regular files with known names, and none of tar's extensions."""
    members: dict[str, bytes] = {}
    with path.open("rb") as file:
        while True:
            block = file.read(tarfile.BLOCKSIZE)
            if block == bytes(tarfile.BLOCKSIZE):  # the end
                return members
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise _refused(path, f"it is not a tar, or is cut off ({error})") from error
            limit = LIMITS.get(info.name)
            if limit is None or info.name in members or info.type != tarfile.REGTYPE:
                raise _refused(
                    path,
                    f"it holds {info.name!r} (type {info.type!r}) twice, or that member does not belong there",
                )
            if not 0 <= info.size <= limit:
                raise _refused(
                    path, f"{info.name} has {info.size} bytes by its header, at most {limit} are allowed"
                )
            data = file.read(info.size)
            if len(data) < info.size:
                raise _refused(path, f"it is cut off in {info.name}")
            members[info.name] = data
            file.seek(-info.size % tarfile.BLOCKSIZE, io.SEEK_CUR)


def _manifest(path: Path, data: bytes) -> tuple[str, float, dict[str, Any]]:
    """Return the precision, the PSNR limit in dB, and the members with their sizes and SHA-256."""
    try:
        manifest = parse_json(data)
    except ValueError as error:
        raise _refused(path, f"{MANIFEST} is not JSON") from error
    match manifest:
        case {
            "format": int(number),
            "precision": str(precision),
            "min_psnr": float(psnr),
            "members": dict(listed),
        } if number == FORMAT and precision in MIN_PSNR and 0 < psnr < 200:
            return precision, psnr, listed
        case {"format": int(number)} if number > FORMAT:
            raise GantoolError(
                f"{path} is a bundle of format {number}, this gantool reads {FORMAT}: install a newer one"
            )
    raise _refused(path, f"{MANIFEST} lacks a valid format, precision, min_psnr or members")


def _refused(path: Path, reason: str) -> GantoolError:
    return GantoolError(
        f"{path} is not a complete bundle of gantool: {reason}; copy it again or make a new one"
    )


def _pixels(path: Path, name: str, data: bytes) -> Images:
    """Return the image in a PNG, uint8 [H, W, C]; check its size before decoding it."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.mode not in ("L", "RGB", "RGBA", "I;16") or max(image.size) > MAX_SIDE:
                raise ValueError(
                    f"{image.mode} of {image.size}, expected grey, RGB or RGBA up to {MAX_SIDE} a side"
                )
            pixels = np.asarray(image)
    except Exception as error:  # a decoder may raise anything for a damaged file
        raise _refused(path, f"{name} is not a valid PNG ({error})") from error
    return pixels.reshape(*pixels.shape[:2], -1)


def _opset(graph: Graph) -> int:
    # needs onnx, which a device that reads bundles may lack
    from gantool.export.graph.external import model_of

    model = model_of(graph.path, graph.data)
    return next(int(entry.version) for entry in model.opset_import if entry.domain == "")


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()
