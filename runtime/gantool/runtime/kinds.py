"""What a file is, by its bytes and not by its name; nothing in it is loaded, unpacked or run.

`kind_of(path)` never raises. `wrong(path, expected)` is the error for a file of another kind than was expected.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Name = Literal[
    "missing", "unreadable", "empty", "folder", "run", "savedmodel",
    "checkpoint", "safetensors", "onnx", "tensorrt", "rtx", "bundle",  # gantool's, or taken by it
    "torch", "torchscript", "torchexport", "pickle", "stylegan", "hdf5", "keras", "tflite", "ultralytics",
    "image", "images", "npy", "tar", "zip", "archive",
    "lfs", "html", "json", "text", "cut", "unknown",
]  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What a file is; both texts follow its path, and `{path}` in the advice stands for it."""

    name: Name
    found: str  # "is a PNG image"
    advice: str  # what to do with it, or instead


EXPORT_TORCH = (
    "to export a generator of it: gantool export --from pytorch-dcgan {path}, or --from package.module:function "
    "--weights {path}"
)
_EXTRACT = (
    "loading a pickle can run code, so gantool does not: where you trust it, load it with the code that wrote it, "
    "and torch.save(generator.state_dict(), 'g.pth')"
)
_TO_ONNX = "then gantool export g.onnx"
_TRAIN = "to train on it: gantool train --data {path}"
_UNPACK = "unpack it, and give the file inside"
_RUN = "to look into it: gantool inspect {path}; to make images: gantool generate --engine {path}"

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6
_IMAGES = "to train on images: gantool train --data FOLDER"

# Offset, bytes there, what it is. ONNX has no magic of its own and comes after all of these.
_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"ftrt", Kind("tensorrt", "is a TensorRT plan", _RUN)),
    (0, b"vtrt", Kind("rtx", "is a TensorRT-RTX plan", _RUN)),
    (0, _LEGACY, Kind("torch", "is a PyTorch checkpoint", EXPORT_TORCH)),
    (2, b"\0\0{", Kind("ultralytics", "is a plan with metadata put in front (Ultralytics)",
                       "make a plan from its ONNX graph: gantool export g.onnx")),
    (0, b"\x89HDF\r\n\x1a\n", Kind("hdf5", "is an HDF5 file, as Keras saves models",
                                  "in Python: keras.models.load_model('{path}').export('g.onnx', format='onnx'), "
                                  + _TO_ONNX)),
    (4, b"TFL3", Kind("tflite", "is a TensorFlow Lite model",
                      "python -m tf2onnx.convert --tflite {path} --output g.onnx, " + _TO_ONNX)),
    (0, b"bundle.json\0", Kind("bundle", "is a bundle of gantool",
                               "build the engine from it: gantool export {path}")),
    (257, b"ustar", Kind("tar", "is a tar archive", "unpack it; of images: gantool train --data FOLDER")),
    (0, b"\x93NUMPY", Kind("npy", "is a NumPy array", "to train on images: gantool train --data FOLDER")),
    (0, b"\x1f\x8b", Kind("archive", "is a gzip archive", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("archive", "is a 7z archive", _UNPACK)),
    (0, b"Rar!", Kind("archive", "is a RAR archive", _UNPACK)),
    (0, b"\xfd7zXZ\0", Kind("archive", "is an xz archive", _UNPACK)),
    (0, b"BZh", Kind("archive", "is a bzip2 archive", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Kind("archive", "is a zstd archive", _UNPACK)),
    (0, b"\x89PNG", Kind("image", "is a PNG image", _IMAGES)),
    (0, b"\xff\xd8\xff", Kind("image", "is a JPEG image", _IMAGES)),
    (0, b"GIF8", Kind("image", "is a GIF image", _IMAGES)),
    (8, b"WEBP", Kind("image", "is a WebP image", _IMAGES)),
    (0, b"II*\0", Kind("image", "is a TIFF image", _IMAGES)),
    (0, b"MM\0*", Kind("image", "is a TIFF image", _IMAGES)),
    (0, b"version https://git-lfs", Kind("lfs", "is a Git LFS pointer, not the file itself",
                                         "fetch the file: git lfs pull")),
)  # fmt: skip
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_STYLEGAN = (b"torch_utils.persistence", b"dnnlib")
_HEAD, _SEARCHED = 512, 1 << 20  # bytes
_MAX_HEADER = 100 << 20  # of safetensors, which itself allows no more


def kind_of(path: Path) -> Kind:
    """Say what `path` is. Never raises: what cannot be read is a kind, too."""
    try:
        if path.is_dir():
            return _folder(path)
        if not path.is_file():
            there = path.exists()
            return Kind(
                "missing", "is not a file" if there else "does not exist", "check the name, or give another"
            )
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not head:
            return Kind("empty", "is empty", "copy it again")
        return _by_bytes(path, head)
    except OSError as error:
        return Kind(
            "unreadable", f"cannot be read ({error.strerror or error})", "give a file that you may read"
        )
    except ValueError:  # a name with a zero byte
        return Kind("missing", "does not exist", "check the name, or give another")


def wrong(path: Path, expected: str, kind: Kind | None = None) -> str:
    """Return the message for a `path` that is not what was `expected`, "an ONNX graph" say; one line."""
    kind = kind or kind_of(path)
    return f"{path} {kind.found}; expected {expected}: {kind.advice.replace('{path}', str(path))}"


def _folder(path: Path) -> Kind:
    if (path / "generator.safetensors").is_file():
        return Kind("run", "is a run of gantool train", "to export it: gantool export {path}")
    if (path / "saved_model.pb").is_file():
        advice = "python -m tf2onnx.convert --saved-model {path} --output g.onnx, " + _TO_ONNX
        return Kind("savedmodel", "is a SavedModel of TensorFlow", advice)
    return Kind("folder", "is a folder", "give a file in it; of images: gantool train --data {path}")


def _by_bytes(path: Path, head: bytes) -> Kind:
    if head.startswith(b"\0\0\0\0{", 4):
        return _safetensors(path, head)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path, head)
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    if head[:1] == b"\x80" and 2 <= (head[1:2] or b"\0")[0] <= 5:
        return _pickle(path)
    # protobuf: field 1 of ModelProto, ir_version, a varint of one byte
    if len(head) > 1 and head[0] == 0x08 and 0 < head[1] < 0x80:
        return Kind("onnx", "is an ONNX graph", "to export it: gantool export {path}")
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return Kind("image", "is a BMP image", _IMAGES)
    if (text := _as_text(head)) is not None:
        return _text(text)
    return Kind(
        "unknown",
        f"has a format that gantool does not read (it begins with {head[:8].hex(' ')})",
        "copy it again",
    )


def _safetensors(path: Path, head: bytes) -> Kind:
    """Tell a checkpoint of gantool from other safetensors, and whether it is whole."""
    size, there = int.from_bytes(head[:8], "little"), path.stat().st_size
    cut = f"is a safetensors file that is cut off: it has {there:,} bytes and its header"
    if size > _MAX_HEADER or 8 + size > there:
        return Kind("cut", f"{cut} alone has {size:,}", "copy it again")
    with path.open("rb") as file:
        file.seek(8)
        text = file.read(size)
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        ends = [entry["data_offsets"][1] for entry in header.values()]
        whole = 8 + size + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return Kind("cut", "is a damaged safetensors file", "copy it again")
    if there < whole:
        return Kind("cut", f"{cut} says {whole:,}", "copy it again")
    if isinstance(metadata, dict) and "gantool" in metadata:
        return Kind("checkpoint", "is a safetensors checkpoint", "export it first: gantool export {path}")
    found = "is a safetensors checkpoint that gantool train did not write"
    return Kind("safetensors", found, EXPORT_TORCH)


def _zip(path: Path, head: bytes) -> Kind:
    """Look at the names in a zip: PyTorch, Keras and NumPy save as one."""
    import zipfile  # not needed where the file is an engine, and start-up is short

    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, RuntimeError):
        what = "PyTorch checkpoint" if first.endswith((b"/data.pkl", b"/byteorder")) else "zip archive"
        return Kind("cut", f"is a {what} that is cut off or damaged", "copy or download it again")
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        advice = (
            "it is a program, and gantool takes weights: in Python, "
            "torch.save(torch.jit.load('{path}', map_location='cpu').state_dict(), 'g.pth'), then --from with g.pth"
        )
        return Kind("torchscript", "is TorchScript", advice)
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        advice = "in Python: torch.onnx.export(torch.export.load('{path}'), f='g.onnx'), " + _TO_ONNX
        return Kind("torchexport", "is a program of torch.export", advice)
    if "data.pkl" in inner:
        return Kind("torch", "is a PyTorch checkpoint", EXPORT_TORCH)
    if "model.weights.h5" in names:
        advice = "in Python: keras.models.load_model('{path}').export('g.onnx', format='onnx'), " + _TO_ONNX
        return Kind("keras", "is a Keras model", advice)
    if names and all(name.endswith(".npy") for name in names):
        return Kind("npy", "is an archive of NumPy arrays", _IMAGES)
    if sum(name.lower().endswith(_IMAGE_SUFFIXES) for name in names) * 2 > len(names):
        return Kind("images", "is a zip archive of images", _TRAIN)
    return Kind("zip", "is a zip archive", _UNPACK)


def _pickle(path: Path) -> Kind:
    with path.open("rb") as file:
        start = file.read(_SEARCHED)
    if any(mark in start for mark in _STYLEGAN):
        advice = (
            "in its own repository, export it to ONNX, or torch.save(G_ema.state_dict(), 'g.pth') for gantool "
            "export --from package.module:function --weights g.pth"
        )
        return Kind("stylegan", "is a pickle of StyleGAN's tools, and loading one runs code", advice)
    return Kind("pickle", "is a Python pickle", _EXTRACT)


def _as_text(head: bytes) -> str | None:
    """Return the start as text, or None where it has bytes that no text has."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not just a letter cut in two
            return None
        text = head[: error.start].decode()
    return text if all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text) else None


def _text(text: str) -> Kind:
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith("<"):
        return Kind("html", "is a web page or XML", "download the file itself")
    if start.startswith(("{", "[")):
        return Kind("json", "is JSON, perhaps a plan's sidecar", "give the file that it is of, without .json")
    return Kind("text", "is a text file", "give another file")
