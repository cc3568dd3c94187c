"""Recognize a file by its bytes, not by its name. Nothing in the file is unpacked or executed.

`kind_of(path)` never raises. `wrong(path, expected)` is the error message for a file of the wrong kind.
"""

from __future__ import annotations

import re
from pathlib import Path

from gantool.runtime.artifacts.magic import (
    EXPORT_TORCH,
    EXTRACT,
    IMAGES,
    MAGIC,
    ORIGINAL,
    TF2ONNX,
    TO_ONNX,
    TRAIN,
    UNPACK,
    Kind,
)
from gantool.runtime.artifacts.protobuf import of_protobuf
from gantool.runtime.artifacts.text import of_text
from gantool.runtime.foreign import parse_json
from gantool.runtime.process.terminal import listed, short

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_MODELS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".onnx", ".h5", ".keras", ".pkl", ".pb", ".tflite")
_STYLEGAN = (b"torch_utils.persistence", b"dnnlib")
_HEAD, _SEARCHED = 4096, 1 << 20  # bytes
_CHECK = "check the name, or give another"
_TF1 = "python -m tf2onnx.convert --checkpoint {path}.meta " + TF2ONNX
# The files of a TensorFlow 1 checkpoint, model.ckpt-1000.index for example; group 1 is the checkpoint's name.
_TF_PART = re.compile(r"(.*)\.(?:index|meta|data-\d{5}-of-\d{5})")
_TF_INDEX = bytes.fromhex("57fb808b247547db")  # the last bytes of an .index file
_MAX_HEADER = 100 << 20  # bytes; the limit of the safetensors library


def kind_of(path: Path) -> Kind:
    """Return the kind of the file `path`. Never raises: a file that cannot be read has a kind, too."""
    try:
        if path.is_dir():
            return _folder(path)
        if not path.is_file():
            return _missing(path)
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if not head:
            return Kind("empty", "is empty", "copy or download it again")
        return _by_bytes(path, head)
    except OSError as error:
        return Kind(
            "unreadable", f"cannot be read ({error.strerror or error})", "give a file that you may read"
        )
    except ValueError:  # a name with a zero byte
        return Kind("missing", "does not exist", _CHECK)


def _missing(path: Path) -> Kind:
    if path.with_name(f"{path.name}.index").is_file():
        return Kind("tensorflow", "is the name of a TensorFlow 1 checkpoint", _TF1)
    return Kind("missing", "is not a file" if path.exists() else "does not exist", _CHECK)


def wrong(path: Path, expected: str, kind: Kind | None = None) -> str:
    """Return the message, one line, for a file that is not what was `expected` ("an ONNX graph")."""
    kind = kind or kind_of(path)
    return f"{path} {kind.found}; expected {expected}: {kind.advice.replace('{path}', str(path))}"


def _folder(path: Path) -> Kind:
    if (path / "generator.safetensors").is_file():
        return Kind("run", "is a run of gantool train", "to export it: gantool export {path}")
    if (path / "saved_model.pb").is_file():
        advice = "python -m tf2onnx.convert --saved-model {path} --output g.onnx, " + TO_ONNX
        return Kind("savedmodel", "is a SavedModel of TensorFlow", advice)
    if (path / "Manifest.json").is_file() and (path / "Data").is_dir():
        return Kind("coreml", "is a CoreML package", ORIGINAL)
    if (path / "model_index.json").is_file() or (path / "config.json").is_file():
        weights = [name for name in _names(path) if name.endswith((".safetensors", ".bin", ".pth", ".pt"))]
        if (path / "model_index.json").is_file() or weights:
            return _repository(weights)
    for name in _names(path):
        if name.endswith(".index") and (parts := _TF_PART.fullmatch(name)):
            advice = _TF1.replace("{path}", f"{{path}}/{parts[1]}")
            return Kind("tensorflow", "is the folder of a TensorFlow 1 checkpoint", advice)
    return Kind("folder", "is a folder", "give a file in it; of images: gantool train --data {path}")


def _names(folder: Path) -> list[str]:
    """Return at most 1000 names of files in a folder, sorted."""
    from itertools import islice

    return sorted(entry.name for entry in islice(folder.iterdir(), 1000))


def _repository(weights: list[str]) -> Kind:
    name = weights[0] if len(weights) == 1 else "FILE"
    held = f" ({listed(weights, 3)})" if weights else ""
    return Kind(
        "huggingface",
        "is a folder of a model for transformers or diffusers" + held,
        "gantool exports GAN generators, z to images: if it holds one, --from package.module:function --weights "
        f"{{path}}/{name}",
    )


def _by_bytes(path: Path, head: bytes) -> Kind:
    if head.startswith(b"\0\0\0\0{", 4):
        return _safetensors(path, head)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path, head)
    for offset, magic, kind in MAGIC:
        if head.startswith(magic, offset):
            return kind
    if head[:1] == b"\x80" and 2 <= (head[1:2] or b"\0")[0] <= 5:
        return _pickle(path)
    if (known := of_protobuf(path, head)) is not None:
        return known
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return Kind("image", "is a BMP image", IMAGES)
    if (known := of_text(head)) is not None:
        return known
    if not any(head) and _all_zeros(path):
        return Kind("cut", "holds nothing but zeros", "copy or download it again")
    if (known := _by_neighbours(path)) is not None:
        return known
    return Kind(
        "unknown",
        f"has a format that gantool does not read (it begins with {head[:8].hex(' ')})",
        "copy it again",
    )


def _all_zeros(path: Path) -> bool:
    with path.open("rb") as file:
        return not any(any(block) for block in iter(lambda: file.read(_SEARCHED), b""))


def _by_neighbours(path: Path) -> Kind | None:
    """Recognize files of raw weights by the files beside them, or by their last bytes."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_TF_INDEX)))
        if file.read() == _TF_INDEX:
            return _tensorflow_part(path)
    if _TF_PART.fullmatch(path.name):
        return _tensorflow_part(path)
    if path.with_suffix(".xml").is_file() and kind_of(path.with_suffix(".xml")).name == "openvino":
        return Kind("openvino", "holds the weights of an OpenVINO model", ORIGINAL)
    if path.suffix == ".pdiparams" or path.with_suffix(".pdmodel").is_file():
        return Kind(
            "paddle", "holds the weights of a Paddle model", "give its .pdmodel to paddle2onnx, " + TO_ONNX
        )
    if path.suffix == ".bin" and path.with_suffix(".param").is_file():
        return Kind("other", "holds the weights of an ncnn model", ORIGINAL)
    return None


def _tensorflow_part(path: Path) -> Kind:
    parts = _TF_PART.fullmatch(path.name)
    stem = str(path.with_name(parts[1])) if parts else "model.ckpt"
    return Kind("tensorflow", "is a part of a TensorFlow 1 checkpoint", _TF1.replace("{path}", stem))


def _safetensors(path: Path, head: bytes) -> Kind:
    """Return the kind of a safetensors file: a checkpoint of gantool, another one, or a truncated one."""
    size, there = int.from_bytes(head[:8], "little"), path.stat().st_size
    cut = f"is a safetensors file that is cut off: it has {there:,} bytes and its header"
    if size > _MAX_HEADER or 8 + size > there:
        return Kind("cut", f"{cut} alone has {size:,}", "copy it again")
    with path.open("rb") as file:
        file.seek(8)
        text = file.read(size)
    try:
        header = parse_json(text)
        metadata = header.pop("__metadata__", {})
        ends = [entry["data_offsets"][1] for entry in header.values()]
        whole = 8 + size + max(ends, default=0)
        if not 0 <= whole < 2**63:  # an end may have thousands of digits
            raise ValueError(whole)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return Kind("cut", "is a damaged safetensors file", "copy it again")
    if there < whole:
        return Kind("cut", f"{cut} says {whole:,}", "copy it again")
    if isinstance(metadata, dict) and "gantool" in metadata:
        return Kind("checkpoint", "is a safetensors checkpoint", "export it first: gantool export {path}")
    found = "is a safetensors checkpoint that gantool train did not write"
    return Kind("safetensors", found, EXPORT_TORCH)


def _zip(path: Path, head: bytes) -> Kind:
    """Look at the names in a zip: PyTorch, Keras and NumPy save as one."""
    import zipfile  # here, since an engine does not need it and start-up must be short

    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, RuntimeError):
        what = "PyTorch checkpoint" if first.endswith((b"/data.pkl", b"/byteorder")) else "zip archive"
        return Kind("cut", f"is a {what} that is cut off or damaged", "copy or download it again")
    inner = {name.partition("/")[2] for name in names}
    if "MAR-INF/MANIFEST.json" in names:
        held = [name for name in names if name.endswith((".pt", ".pth", ".onnx"))]
        advice = f"unzip {{path}} {short(held[0])}, and give that file" if held else UNPACK
        return Kind("zip", "is a model archive of TorchServe", advice)
    if inner & {"constants.pkl", "bytecode.pkl"} or any(name.startswith("code/") for name in inner):
        advice = (
            "it is a program, and gantool takes weights: in Python, "
            "torch.save(torch.jit.load('{path}', map_location='cpu').state_dict(), 'g.pth'), then --from with g.pth"
        )
        return Kind("torchscript", "is TorchScript", advice)
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        advice = "in Python: torch.onnx.export(torch.export.load('{path}'), f='g.onnx'), " + TO_ONNX
        return Kind("torchexport", "is a program of torch.export", advice)
    if "data.pkl" in inner:
        return Kind("torch", "is a PyTorch checkpoint", EXPORT_TORCH)
    if "model.weights.h5" in names:
        advice = "in Python: keras.models.load_model('{path}').export('g.onnx', format='onnx'), " + TO_ONNX
        return Kind("keras", "is a Keras model", advice)
    if names and all(name.endswith(".npy") for name in names):
        return Kind("npy", "is an archive of NumPy arrays", IMAGES)
    if sum(name.lower().endswith(_IMAGE_SUFFIXES) for name in names) * 2 > len(names):
        return Kind("images", "is a zip archive of images", TRAIN)
    if held := [name for name in names if name.endswith(_MODELS)]:
        found = f"is a zip archive with {listed(held, 3)} in it"
        return Kind(
            "zip", found, f"unzip {{path}}, and give {short(held[0]) if len(held) == 1 else 'one of them'}"
        )
    return Kind("zip", "is a zip archive", UNPACK)


def _pickle(path: Path) -> Kind:
    with path.open("rb") as file:
        start = file.read(_SEARCHED)
    if any(mark in start for mark in _STYLEGAN):
        advice = (
            "in its own repository, export it to ONNX, or torch.save(G_ema.state_dict(), 'g.pth') for gantool "
            "export --from package.module:function --weights g.pth"
        )
        return Kind("stylegan", "is a pickle of StyleGAN's tools, and loading one runs code", advice)
    return Kind("pickle", "is a Python pickle", EXTRACT)
