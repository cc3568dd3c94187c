"""Run a generator's ONNX graph with ONNX Runtime: on the CPU, with CUDA, TensorRT or OpenVINO."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import starmap
from pathlib import Path
from typing import Any

from gantool.runtime.errors import EngineMismatchError, GantoolError, MissingDependencyError, UsageError
from gantool.runtime.images import to_uint8
from gantool.runtime.onnx_file import check_weights_inside
from gantool.runtime.spec import Images, Labels, Latents, Spec

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_ON_GPU = ("cuda", "tensorrt")


class OnnxRuntimeBackend:
    """A generator's graph in an ONNX Runtime session."""

    def __init__(
        self, path: Path, provider: str = "auto", threads: int | None = None, yielding: bool = False
    ) -> None:
        """Load `path`. `provider` is a name of PROVIDERS, or auto: CUDA if this ONNX Runtime was built with it,
        else OpenVINO if it is installed and the CPU is Intel's, else cpu. `threads` are those of the CPU
        provider, one a core where it is None; `yielding`, they leave the cores to others while they wait.

        Raises GantoolError for a graph that is broken or no generator, and EngineMismatchError if the provider
        does not start here: ONNX Runtime by itself would go on with the CPU.
        """
        if threads is not None and threads < 1:
            raise UsageError(f"--engine-threads {threads}: give a whole number from 1")
        self._path = path
        check_weights_inside(path)
        self._session, provider = _open(path, provider, threads, yielding)
        self._bound = provider in _ON_GPU
        self.name = f"ONNX Runtime, {PROVIDERS[provider].removesuffix('ExecutionProvider')}"
        self.spec = _spec(path, self._session)

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        """Turn z, float32 [n, latent], and label, int64 [n], into images, uint8 [n, H, W, C]."""
        if self._session is None:
            raise GantoolError(f"{self._path} is closed: load it again")
        feeds = {"z": z} if label is None else {"z": z, "label": label}
        try:
            images = (
                run_bound(self._session, feeds, "cuda")
                if self._bound
                else self._session.run(["images"], feeds)[0]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise GantoolError(
                f"ONNX Runtime failed on a batch of {len(z)} from {self._path}: {_reason(error)}; "
                "try a smaller --batch"
            ) from error
        return images if self.spec.dtype == "uint8" else to_uint8(images)

    def infer_each(self, batches: Iterable[tuple[Latents, Labels | None]]) -> Iterator[Images]:
        """Yield the images of each batch, one after the other: each has all cores."""
        return starmap(self.infer, batches)

    def close(self) -> None:
        """Free the session."""
        self._session = None


def run_bound(session: Any, feeds: dict[str, Any], device: str) -> Any:
    """Return the images of a run whose output stays on `device` until it is done: one copy each way."""
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output("images", device)
    session.run_with_iobinding(binding)
    return binding.copy_outputs_to_cpu()[0]


def _open(path: Path, provider: str, threads: int | None, yielding: bool) -> tuple[Any, str]:
    """Return a session, and the name in PROVIDERS of what it runs on."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingDependencyError("onnxruntime", "cpu", f"running {path.name}") from error
    if provider not in (*PROVIDERS, "auto"):
        raise UsageError(f"--provider {provider} is unknown: choose auto, {', '.join(PROVIDERS)}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised, and said once, below
    options.intra_op_num_threads = threads or 0
    # Threads that spin while they wait are quicker to go on, and take the cores from those that encode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if yielding else "1")
    if provider == "auto":
        provider = _auto(onnxruntime)
    name = PROVIDERS[provider]
    if provider == "openvino":
        options.add_provider_for_devices(_openvino(onnxruntime)[:1], {})
    elif name not in onnxruntime.get_available_providers():
        raise EngineMismatchError(
            f"the installed ONNX Runtime has no {name}: pip uninstall onnxruntime, then pip install 'gantool[gpu]'"
        )
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=None if provider == "openvino" else [name]
        )
    except Exception as error:
        raise GantoolError(
            f"ONNX Runtime cannot load {path}: {_reason(error)}; export it again, or copy it again if it came "
            "over a network"
        ) from error
    if session.get_providers()[0] != name:
        wants = (
            "" if provider == "openvino" else " (is there a driver, and the CUDA and cuDNN that it wants?)"
        )
        raise EngineMismatchError(
            f"{name} does not start here, though ONNX Runtime has it{wants}: run it on the CPU with --provider cpu"
        )
    return session, provider


def _auto(onnxruntime: Any) -> str:
    if PROVIDERS["cuda"] in onnxruntime.get_available_providers():
        return "cuda"
    return "openvino" if find_spec("onnxruntime_ep_openvino") and openvino_devices(onnxruntime) else "cpu"


def _openvino(onnxruntime: Any) -> list[Any]:
    if not find_spec("onnxruntime_ep_openvino"):
        raise MissingDependencyError("onnxruntime-ep-openvino", "openvino", "--provider openvino")
    devices = openvino_devices(onnxruntime)
    if not devices:
        raise EngineMismatchError("OpenVINO finds no Intel CPU, GPU or NPU here: run it with --provider cpu")
    return devices


def openvino_devices(onnxruntime: Any) -> list[Any]:
    """Return what OpenVINO's plugin can run on here, the CPU first: nothing where the CPU is not Intel's."""
    import onnxruntime_ep_openvino as plugin

    if "OpenVINO" not in _registered:
        onnxruntime.register_execution_provider_library("OpenVINO", plugin.get_library_path())
        _registered.add("OpenVINO")
    found = [item for item in onnxruntime.get_ep_devices() if item.ep_name == PROVIDERS["openvino"]]
    return sorted(found, key=lambda item: item.device.type.name != "CPU")


_registered: set[str] = set()  # a library is registered once for the process


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
