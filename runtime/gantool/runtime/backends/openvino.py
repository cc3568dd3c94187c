"""Run a generator's ONNX graph with OpenVINO on the CPU: Intel's, AMD's or ARM's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import starmap
from pathlib import Path
from threading import Lock
from typing import Any

from gantool.runtime.backends.contract import Tensors, spec_of_graph
from gantool.runtime.errors import GantoolError, MissingDependencyError
from gantool.runtime.images import to_uint8
from gantool.runtime.onnx_file import open_graph
from gantool.runtime.spec import Images, Labels, Latents

_TYPES = {"f32": "float", "i64": "int64", "u8": "uint8"}  # as ONNX Runtime calls them


class OpenVinoBackend:
    """A generator's graph, compiled by OpenVINO: in BF16 where the CPU computes in it, as the name then says."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load `path`; `threads` are OpenVINO's choice where it is None.

        Raises GantoolError for a graph that is broken or no generator.
        """
        if find_spec("openvino") is None:
            raise MissingDependencyError("openvino", "openvino", f"running {path.name} with OpenVINO")
        try:
            from openvino import Core
        except ImportError as error:  # the package is there, a library that it loads is not
            raise GantoolError(
                f"openvino is installed but does not load ({error}): pip install --force-reinstall "
                "'gantool[openvino]', or run it with --provider cpu"
            ) from error
        self._path = path
        graph = open_graph(path)
        settings = {} if threads is None else {"INFERENCE_NUM_THREADS": threads}
        try:
            core = Core()  # as bytes: by a path it would go by the file's name
            model = core.compile_model(core.read_model(graph[:]), "CPU", settings)
        except RuntimeError as error:
            raise GantoolError(
                f"OpenVINO cannot load {path}: {_reason(error)}; run it with --provider cpu, or export it again"
            ) from error
        self.spec = spec_of_graph(path, graph, _tensors(model.inputs), _tensors(model.outputs))
        self._request = model.create_infer_request()
        self._alone = Lock()  # a request runs one batch at a time
        precision = model.get_property("INFERENCE_PRECISION_HINT").to_string().upper()
        self.name = "OpenVINO, CPU" + (f" in {precision}" if precision in ("BF16", "F16") else "")

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        """Turn z, float32 [n, latent], and label, int64 [n], into images, uint8 [n, H, W, C]."""
        if self._request is None:
            raise GantoolError(f"{self._path} is closed: load it again")
        try:
            with self._alone:
                result = self._request.infer({"z": z} if label is None else {"z": z, "label": label})
        except RuntimeError as error:
            raise GantoolError(
                f"OpenVINO failed on {len(z)} images from {self._path}: {_reason(error)}; "
                "try a smaller --batch"
            ) from error
        images = result["images"]
        return images if self.spec.dtype == "uint8" else to_uint8(images)

    def infer_each(self, batches: Iterable[tuple[Latents, Labels | None]]) -> Iterator[Images]:
        """Yield the images of each batch, one after the other: each has all cores."""
        return starmap(self.infer, batches)

    def close(self) -> None:
        """Free the compiled graph."""
        self._request = None


def _tensors(ports: list[Any]) -> Tensors:
    types = (port.element_type.to_string() for port in ports)
    shapes = (list(map(_size, port.partial_shape)) for port in ports)
    return {
        _name(port): (_TYPES.get(name, name), shape)
        for port, name, shape in zip(ports, types, shapes, strict=True)
    }


def _name(port: Any) -> str:
    """Return the name in the contract, of those that a tensor has where operators were folded away."""
    return next((name for name in ("z", "label", "images") if name in port.names), port.any_name)


def _size(dimension: Any) -> int | None:
    return dimension.get_length() if dimension.is_static else None


def _reason(error: Exception) -> str:
    """Return OpenVINO's message on one line, without its own source files and links."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and " src/" not in line and "://" not in line)
