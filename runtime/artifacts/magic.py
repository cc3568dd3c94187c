"""The kinds of files that users pass to gantool, and the first bytes (magic numbers) of some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Name = Literal[
    "missing", "unreadable", "empty", "folder", "run", "savedmodel",
    "checkpoint", "safetensors", "onnx", "tensorrt", "rtx", "bundle",  # gantool writes or reads these
    "torch", "torchscript", "torchexport", "pickle", "stylegan", "hdf5", "keras", "tflite", "ultralytics",
    "tensorflow", "openvino", "coreml", "executorch", "ort", "onnxtext", "gguf", "paddle", "mxnet", "other",
    "shards", "huggingface",
    "image", "images", "video", "npy", "tar", "zip", "archive",
    "lfs", "html", "json", "text", "cut", "unknown",
]  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """The kind of a file. In a message, both texts follow its path; `{path}` in the advice is replaced by it."""

    name: Name
    found: str  # "is a PNG image"
    advice: str  # what the user can do


EXPORT_TORCH = (
    "to export a generator of it: gantool export --from pytorch-dcgan {path}, or --from package.module:function "
    "--weights {path}"
)
EXTRACT = (
    "loading a pickle can run code, so gantool does not: where you trust it, load it with the code that wrote it, "
    "and torch.save(generator.state_dict(), 'g.pth')"
)
TO_ONNX = "then gantool export g.onnx"
TF2ONNX = "--inputs z:0 --outputs images:0 --output g.onnx, with the names of its own tensors, " + TO_ONNX
ORIGINAL = "it cannot be converted back: export ONNX from the original model, " + TO_ONNX
TRAIN = "to train on it: gantool train --data {path}"
UNPACK = "unpack it, and give the file inside"
IMAGES = "to train on images: gantool train --data FOLDER"
FRAMES = "to train on its frames: ffmpeg -i {path} FOLDER/%06d.png"
RUN = "to look into it: gantool inspect {path}; to make images: gantool generate --engine {path}"


def _archive(what: str, command: str) -> Kind:
    return Kind(
        "archive", f"is {what} archive", f"unpack it with {command} {{path}}, and give the file inside"
    )


_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6

# Offset, bytes at that offset, kind. Protobuf has no magic number, so it is checked after all of these.
MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"ftrt", Kind("tensorrt", "is a TensorRT plan", RUN)),
    (0, b"vtrt", Kind("rtx", "is a TensorRT-RTX plan", RUN)),
    (0, _LEGACY, Kind("torch", "is a PyTorch checkpoint", EXPORT_TORCH)),
    (2, b"\0\0{", Kind("ultralytics", "is a plan with metadata put in front (Ultralytics)",
                       "make a plan from its ONNX graph: gantool export g.onnx")),
    (0, b"\x89HDF\r\n\x1a\n", Kind("hdf5", "is an HDF5 file, as Keras saves models",
                                  "in Python: keras.models.load_model('{path}').export('g.onnx', format='onnx'), "
                                  + TO_ONNX)),
    (4, b"TFL3", Kind("tflite", "is a TensorFlow Lite model",
                      "python -m tf2onnx.convert --tflite {path} --output g.onnx, " + TO_ONNX)),
    (4, b"ORTM", Kind("ort", "is a model in ONNX Runtime's own format (ORT)",
                      "give the ONNX graph that it was made from: gantool export g.onnx")),
    (4, b"ET1", Kind("executorch", "is an ExecuTorch program", ORIGINAL)),
    (0, b"RKNN", Kind("other", "is an RKNN model", ORIGINAL)),
    (0, b"7767517\n", Kind("other", "is an ncnn model", ORIGINAL)),
    *((0, mark, Kind("gguf", "is a GGUF file, as llama.cpp reads models",
                     "gantool knows no image generator in this format: give PyTorch weights or an ONNX graph"))
      for mark in (b"GGUF", b"lmgg", b"tjgg")),
    (0, b"\x12\1\0\0\0\0\0\0", Kind("mxnet", "is a file of MXNet parameters",
                                   "in MXNet: mx.onnx.export_model, with the -symbol.json beside it, " + TO_ONNX)),
    (0, b"bundle.json\0", Kind("bundle", "is a bundle of gantool",
                               "build the engine from it: gantool export {path}")),
    (257, b"ustar", Kind("tar", "is a tar archive", "unpack it; of images: gantool train --data FOLDER")),
    (0, b"\x93NUMPY", Kind("npy", "is a NumPy array", "to train on images: gantool train --data FOLDER")),
    (0, b"\x1f\x8b", _archive("a gzip", "gunzip -k")),
    (0, b"7z\xbc\xaf\x27\x1c", _archive("a 7z", "7z x")),
    (0, b"Rar!", _archive("a RAR", "unrar x")),
    (0, b"\xfd7zXZ\0", _archive("an xz", "unxz -k")),
    (0, b"BZh", _archive("a bzip2", "bunzip2 -k")),
    (0, b"\x28\xb5\x2f\xfd", _archive("a zstd", "unzstd")),
    (0, b"\x89PNG", Kind("image", "is a PNG image", IMAGES)),
    (0, b"\xff\xd8\xff", Kind("image", "is a JPEG image", IMAGES)),
    (0, b"GIF8", Kind("image", "is a GIF image", IMAGES)),
    (8, b"WEBP", Kind("image", "is a WebP image", IMAGES)),
    (0, b"II*\0", Kind("image", "is a TIFF image", IMAGES)),
    (0, b"MM\0*", Kind("image", "is a TIFF image", IMAGES)),
    (4, b"ftypisom", Kind("video", "is an MP4 video", FRAMES)),
    (4, b"ftypmp4", Kind("video", "is an MP4 video", FRAMES)),
    (0, b"\x1a\x45\xdf\xa3", Kind("video", "is a WebM or Matroska video", FRAMES)),
    (0, b"version https://git-lfs", Kind("lfs", "is a Git LFS pointer, not the file itself",
                                         "fetch the file: git lfs pull")),
    *((0, mark, Kind("lfs", "is a git-annex pointer, not the file itself", "fetch the file: git annex get {path}"))
      for mark in (b"/annex/objects/", b".git/annex/objects/", b"../.git/annex/objects/")),
    (0, b"# xet version", Kind("lfs", "is a Xet pointer, not the file itself",
                               "fetch the file: hf download, with its repository and its name")),
    (0, b"outs:\n- md5:", Kind("lfs", "is a DVC pointer, not the file itself",
                               "fetch the file: dvc pull {path}, and give it without .dvc")),
)  # fmt: skip
