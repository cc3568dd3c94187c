"""Recognize text files: JSON, XML, ONNX as text and others."""

from __future__ import annotations

import re

from gantool.runtime.artifacts.magic import ORIGINAL, TF2ONNX, TO_ONNX, Kind
from gantool.runtime.process.terminal import short

_SCRIPTED = (
    "convert the Keras or TensorFlow model that it was made from: python -m tf2onnx.convert, " + TO_ONNX
)
# Patterns at the start of a JSON file. The first that matches gives the kind.
_JSON: tuple[tuple[str, Kind], ...] = (
    (r'"plan_sha256"', Kind("json", "is the sidecar of a plan", "give the plan, the same name without .json")),
    (r'"weight_map"', Kind(
        "shards",
        "lists the parts of a checkpoint that is in several files",
        "merge them once in Python: load_file of safetensors.torch for each part, all in one dictionary, save_file "
        "of that as g.safetensors, and give g.safetensors")),
    (r'"(?:irVersion|opsetImport)"', Kind("onnxtext", "", "")),
    (r'"base_code"\s*:\s*\{\s*"magic"', Kind("paddle", "is a Paddle model",
        "paddle2onnx --model_dir FOLDER --model_filename {path} --params_filename FILE.pdiparams --save_file "
        "g.onnx, " + TO_ONNX)),
    (r'^\{\s*"nodes"\s*:\s*\[\s*\{\s*"op"', Kind("mxnet", "is an MXNet symbol",
        "in MXNet: mx.onnx.export_model, with its .params, " + TO_ONNX)),
    (r'"(?:modelTopology|weightsManifest)"', Kind("tensorflow", "is a model of TensorFlow.js", _SCRIPTED)),
    (r'"(?:_class_name|model_type|architectures|_diffusers_version)"', Kind(
        "huggingface", "is the configuration of a model, not the model",
        "give the file with the weights beside it")),
    (r'^\{.{0,200}?"(?:error|errors|message|detail|status|status_code|code)"\s*:', Kind(
        "json", "is a server's answer (JSON), not the file", "download it again, where you are logged in")),
)  # fmt: skip


def of_text(head: bytes) -> Kind | None:
    """Return the kind of a text file from its first bytes, or None if they are not text."""
    text = _as_text(head)
    if text is None:
        return None
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("<"):
        if re.match(r"(?:<\?xml[^>]*>\s*)?<net[ >]", start):
            return Kind("openvino", "is an OpenVINO model", ORIGINAL)
        return Kind(
            "html",
            "is a web page or XML",
            "a page was saved instead of the file, often a login page: download the file itself",
        )
    if start.startswith(("{", "[")):
        return _json(start)
    if re.match(r"ir_version: *\d", start):
        return _as_onnx_text("textproto")
    if start.startswith("model_checkpoint_path:"):
        name = start.partition('"')[2].partition('"')[0]
        advice = f"python -m tf2onnx.convert --checkpoint {short(name)}.meta " + TF2ONNX
        return Kind("tensorflow", "names the newest of some TensorFlow 1 checkpoints", advice)
    return Kind("text", "is a text file", "give another file")


def _as_text(head: bytes) -> str | None:
    """Return the first bytes of a file as text, or None if they are not text."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # further on, the head may end within a character
            return None
        text = head[: error.start].decode()
    return text if all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text) else None


def _json(start: str) -> Kind:
    for pattern, kind in _JSON:
        if re.search(pattern, start, re.DOTALL):
            return _as_onnx_text("json") if kind.name == "onnxtext" else kind
    return Kind("json", "is JSON", "give the model, not what describes it")


def _as_onnx_text(form: str) -> Kind:
    return Kind(
        "onnxtext",
        "is an ONNX graph as text",
        f"in Python: onnx.save(onnx.load('{{path}}', format='{form}'), 'g.onnx'), " + TO_ONNX,
    )
