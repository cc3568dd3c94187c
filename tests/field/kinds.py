"""Models of other tools, and what is saved in place of a model: each is recognized, and the way in is said."""

from __future__ import annotations

import gzip
import json
import lzma
import struct
from pathlib import Path

import onnx
from google.protobuf import json_format, text_format

from field.cases import Case, Folder
from field.faults import graph as golden
from field.modules import checkpoint, written
from helpers.archives import zipped


def field(number: int, value: bytes | int) -> bytes:
    """Return a field of protobuf."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def node(name: str) -> bytes:
    return field(1, field(1, name.encode()) + field(2, b"Placeholder"))


GRAPH_DEF = node("z") + node("generator/images") + field(4, field(1, 440))
META_GRAPH = field(1, field(5, b"1.15.0")) + field(2, GRAPH_DEF)
COREML = field(1, 6) + field(2, field(100, field(1, b"a generator")))
NET = b'<?xml version="1.0"?>\n<net name="g" version="11">\n<layers/></net>'
SYMBOL = b'{\n  "nodes": [\n    {\n      "op": "null", \n      "name": "z"}]}'
TF_INDEX = bytes(40) + bytes.fromhex("57fb808b247547db")
ANSWERS = (
    {"message": "Not Found", "documentation_url": "https://example.com"},
    {"error": "Invalid username or password."},
    {"id": 3, "detail": "Authentication credentials were not provided."},
)


def files(contents: dict[str, bytes]) -> Folder:
    def prepare(folder: Path) -> None:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    return prepare


def packed(name: str) -> Folder:
    """Have a checkpoint packed as the suffix of `name` says."""

    def prepare(folder: Path) -> None:
        checkpoint("plain.pth")(folder)
        data = (folder / "plain.pth").read_bytes()
        pack = {".gz": gzip.compress(data), ".xz": lzma.compress(data), ".zst": b"\x28\xb5\x2f\xfd" + data}
        (folder / name).write_bytes(pack[Path(name).suffix])

    return prepare


def as_text(name: str) -> Folder:
    """Have a graph as onnx.save writes it under `name`, as text."""

    def prepare(folder: Path) -> None:
        golden(folder)
        model = onnx.load(folder / "g.onnx")
        json_form = name.endswith(".json")
        text = json_format.MessageToJson(model) if json_form else text_format.MessageToString(model)
        (folder / name).write_text(text)

    return prepare


CHECKPOINT_TF1 = {
    "c/checkpoint": b'model_checkpoint_path: "model.ckpt-9"\n',
    "c/model.ckpt-9.index": TF_INDEX,
    "c/model.ckpt-9.data-00000-of-00001": bytes(range(1, 99)),
    "c/model.ckpt-9.meta": META_GRAPH,
}
TF1 = ("TensorFlow 1 checkpoint", "--checkpoint c/model.ckpt-9.meta")
REPOSITORY = {"m/config.json": b'{"model_type": "biggan"}', "m/model.safetensors": b"x" * 20}
DIFFUSERS = {"m/model_index.json": b'{"_class_name": "DDPMPipeline"}', "m/unet/config.json": b"{}"}
NO_WAY_BACK = "export ONNX from the original model"

FILES: list[tuple[str, tuple[str, ...], Folder]] = [
    ("saved_model.pb", ("the graph of a SavedModel", "--saved-model FOLDER"), files({"saved_model.pb": field(1, 1) + field(2, META_GRAPH)})),
    ("frozen.pb", ("is a frozen graph of TensorFlow", "--graphdef frozen.pb"), files({"frozen.pb": GRAPH_DEF})),
    ("long.pb", ("is a frozen graph of TensorFlow",), files({"long.pb": node("scope/" * 50) + GRAPH_DEF})),
    *((f"c/{name}", TF1, files(CHECKPOINT_TF1)) for name in ("model.ckpt-9", *(key[2:] for key in CHECKPOINT_TF1 if "." in key))),
    ("c", TF1, files(CHECKPOINT_TF1)),
    ("c/checkpoint", ("TensorFlow 1 checkpoint", "--checkpoint model.ckpt-9.meta"), files(CHECKPOINT_TF1)),
    ("g.xml", ("is an OpenVINO model", NO_WAY_BACK), files({"g.xml": NET})),
    ("g.bin", ("the weights of an OpenVINO model", NO_WAY_BACK), files({"g.xml": NET, "g.bin": bytes(range(200))})),
    ("a.tflite", ("is a TensorFlow Lite model", "--tflite a.tflite"), written("a.tflite", b"\x1c\0\0\0TFL3" + bytes(40))),
    ("a.mlmodel", ("is a CoreML model", NO_WAY_BACK), files({"a.mlmodel": COREML + field(500, field(1, b"layer"))})),
    ("p.mlmodel", ("is a CoreML model",), files({"p.mlmodel": field(1, 1) + field(2, b"\x0a\0") + field(502, b"")})),
    ("a.mlpackage", ("is a CoreML package", NO_WAY_BACK), files({"a.mlpackage/Manifest.json": b"{}", "a.mlpackage/Data/m": COREML})),
    ("a.pte", ("is an ExecuTorch program",), written("a.pte", b"\x20\0\0\0ET12" + bytes(40))),
    ("a.ort", ("own format (ORT)",), written("a.ort", b"\x18\0\0\0ORTM" + bytes(40))),
    ("a.gguf", ("is a GGUF file",), written("a.gguf", b"GGUF\3\0\0\0")),
    ("a.pdmodel", ("is a Paddle model", "paddle2onnx"), files({"a.pdmodel": field(1, b"\x08\0\x10\xff\xff\xff\xff\x0f")})),
    ("a.pdiparams", ("weights of a Paddle model",), files({"a.pdiparams": bytes(range(99))})),
    ("inference.json", ("is a Paddle model",), files({"inference.json": b'{"base_code":{"magic":"pir","version":1}}'})),
    ("a-symbol.json", ("is an MXNet symbol", "mx.onnx.export_model"), files({"a-symbol.json": SYMBOL})),
    ("a-0000.params", ("MXNet parameters",), files({"a-0000.params": struct.pack("<QQ", 0x112, 0) + bytes(9)})),
    ("model.json", ("is a model of TensorFlow.js",), files({"model.json": b'{"format": "layers-model", "modelTopology": {}}'})),
    ("a.ptl", ("is TorchScript",), written("a.ptl", zipped("a/data.pkl", "a/bytecode.pkl", "a/version"))),
    ("a.mar", ("model archive of TorchServe", "unzip a.mar g.pth"), written("a.mar", zipped("MAR-INF/MANIFEST.json", "g.pth"))),
    ("a.zip", ("a zip archive with netG.pth in it", "give netG.pth"), written("a.zip", zipped("netG.pth", "README.md"))),
    *((f"g.pth{end}", ("archive", f"unpack it with {tool}"), packed(f"g.pth{end}")) for end, tool in ((".gz", "gunzip -k g.pth.gz"), (".xz", "unxz -k"), (".zst", "unzstd"))),
    ("login.pth", ("is a web page", "login page"), written("login.pth", b"\n<html><head><title>Sign in")),
    *((f"answer{n}.onnx", ("is a server's answer",), files({f"answer{n}.onnx": json.dumps(answer).encode()})) for n, answer in enumerate(ANSWERS)),
    ("empty.pth", ("is empty",), written("empty.pth", b"")),
    ("zeros.onnx", ("holds nothing but zeros", "copy or download it again"), written("zeros.onnx", bytes(5000))),
    ("annex.onnx", ("is a git-annex pointer", "git annex get annex.onnx"), written("annex.onnx", b"/annex/objects/SHA256E-s9--f5.onnx\n")),
    ("g.onnx.dvc", ("is a DVC pointer", "dvc pull g.onnx.dvc"), written("g.onnx.dvc", b"outs:\n- md5: a3\n  size: 5\n  path: g.onnx\n")),
    ("xet.onnx", ("is a Xet pointer", "hf download"), written("xet.onnx", b"# xet version 0\nfilesize = 9\n")),
    ("m", ("transformers or diffusers (model.safetensors)", "--weights m/model.safetensors"), files(REPOSITORY)),
    ("m/config.json", ("the configuration of a model",), files(REPOSITORY)),
    ("m", ("transformers or diffusers",), files(DIFFUSERS)),
    ("model.safetensors.index.json", ("in several files", "save_file"), files({"model.safetensors.index.json": b'{"metadata": {"total_size": 9}, "weight_map": {}}'})),
    ("g.json", ("is an ONNX graph as text", "format='json'"), as_text("g.json")),
    ("g.textproto", ("is an ONNX graph as text", "format='textproto'"), as_text("g.textproto")),
]  # fmt: skip
COMMANDS = ("export {}", "generate -e {}", "export --from pytorch-dcgan {}")
CASES = [
    Case(
        f"{command.format(name)} ({says[0]})",
        command.format(name),
        1,
        says,
        ("ONNX Runtime cannot",),
        prepare,
    )
    for name, says, prepare in FILES
    for command in COMMANDS
]
