"""Run a generator's ONNX graph with ONNX Runtime, on the CPU or with CUDA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gantool.runtime.errors import EngineMismatchError, GantoolError, MissingDependencyError, UsageError
from gantool.runtime.images import to_uint8
from gantool.runtime.onnx_file import check_weights_inside
from gantool.runtime.spec import Images, Labels, Latents, Spec

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeBackend:
    """A generator's graph in an ONNX Runtime session."""

    def __init__(self, path: Path, provider: str = "auto") -> None:
        """Load `path`. `provider` is cpu, cuda, or auto: CUDA if this ONNX Runtime was built with it, else cpu.

        Raises GantoolError for a graph that is broken or no generator, and EngineMismatchError if the provider
        does not start here: ONNX Runtime by itself would go on with the CPU.
        """
        self._path = path
        check_weights_inside(path)
        self._session = _open(path, provider)
        self.spec = _spec(path, self._session)

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        """Turn z, float32 [n, latent], and label, int64 [n], into images, uint8 [n, H, W, C]."""
        if self._session is None:
            raise GantoolError(f"{self._path} is closed: load it again")
        try:
            (images,) = self._session.run(["images"], {"z": z} if label is None else {"z": z, "label": label})
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise GantoolError(
                f"ONNX Runtime failed on a batch of {len(z)} from {self._path}: {_reason(error)}; "
                "try a smaller --batch"
            ) from error
        return images if self.spec.dtype == "uint8" else to_uint8(images)

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _open(path: Path, provider: str) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingDependencyError("onnxruntime", "cpu", f"running {path.name}") from error
    available = onnxruntime.get_available_providers()
    if provider == "auto":
        provider = "cuda" if PROVIDERS["cuda"] in available else "cpu"
    if provider not in PROVIDERS:
        raise UsageError(f"--provider {provider} is unknown: choose auto, {' or '.join(PROVIDERS)}")
    name = PROVIDERS[provider]
    if name not in available:
        raise EngineMismatchError(
            f"the installed ONNX Runtime has no {name}: pip uninstall onnxruntime, then pip install 'gantool[gpu]'"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised, and said once, below
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[name])
    except Exception as error:
        raise GantoolError(
            f"ONNX Runtime cannot load {path}: {_reason(error)}; export it again, or copy it again if it came "
            "over a network"
        ) from error
    if session.get_providers()[0] != name:
        raise EngineMismatchError(
            f"{name} does not start here, though ONNX Runtime was built with it (is there a driver, and the "
            "CUDA and cuDNN that it wants?): run it on the CPU with --provider cpu"
        )
    return session


def _reason(error: Exception) -> str:
    """Return the first line of ONNX Runtime's message without its prefix of codes."""
    return str(error).splitlines()[0].rsplit("[ONNXRuntimeError] : ", 1)[-1]


def _spec(path: Path, session: Any) -> Spec:
    """Read the contract off the graph's inputs and outputs. Raises GantoolError if it is no generator."""
    inputs = {node.name: (node.type, node.shape) for node in session.get_inputs()}
    outputs = {node.name: (node.type, node.shape) for node in session.get_outputs()}
    label = inputs.get("label")
    match inputs, outputs:
        case {"z": ("tensor(float)", [batch, int(latent)])}, {
            "images": (kind, [_, int(a), int(b), int(c)])
        } if (
            len(outputs) == 1
            and len(inputs) == (1 if label is None else 2)
            and label in (None, ("tensor(int64)", [batch]))
        ):
            height, width, channels = (a, b, c) if kind == "tensor(uint8)" else (b, c, a)
            if channels in (1, 3) and kind in ("tensor(uint8)", "tensor(float)"):
                fixed = batch if isinstance(batch, int) else None
                distribution, classes = _metadata(path, session)
                return Spec(
                    latent=latent,
                    height=height,
                    width=width,
                    channels=channels,
                    min_batch=fixed or 1,
                    max_batch=fixed,
                    dtype="uint8" if kind == "tensor(uint8)" else "float32",
                    distribution=distribution,
                    classes=0 if label is None else classes,
                )
    raise GantoolError(
        f"{path} is no generator of gantool: it has inputs {_shown(inputs)} and outputs {_shown(outputs)}; "
        "expected z float [N, latent], perhaps label int64 [N], and images uint8 [N, H, W, C] or float "
        "[N, C, H, W], with C 1 or 3"
    )


def _shown(tensors: dict[str, tuple[str, list[Any]]]) -> str:
    return ", ".join(f"{name} {kind[7:-1]} {shape}" for name, (kind, shape) in tensors.items()) or "none"


def _metadata(path: Path, session: Any) -> tuple[str, int | None]:
    """Return the distribution of z and the number of classes; normal and None without metadata."""
    text = session.get_modelmeta().custom_metadata_map.get("gantool")
    if text is None:
        return "normal", None
    try:
        metadata = json.loads(text)
        return str(metadata["latent"]["distribution"]), int(metadata.get("classes", 0)) or None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GantoolError(
            f"the `gantool` metadata in {path} is damaged ({error!r}): export it again"
        ) from error
