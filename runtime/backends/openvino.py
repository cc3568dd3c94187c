"""Run a generator's ONNX graph with OpenVINO on a CPU of Intel, AMD or ARM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from gantool.runtime.artifacts.onnx import open_graph
from gantool.runtime.backends.graphs import check_images, in_fp16, spec_of_graph
from gantool.runtime.backends.providers import adds_int8_exactly
from gantool.runtime.backends.quiet import core
from gantool.runtime.backends.sharding import infer_split, should_split
from gantool.runtime.errors import GantoolError, MissingDependencyError, pip_install
from gantool.runtime.outputs.images import in_levels
from gantool.runtime.process.apart import check_openvino
from gantool.runtime.process.cpus import limit
from gantool.runtime.process.interrupt import uncancellable
from gantool.runtime.process.terminal import short
from gantool.runtime.signature import INPUT, OUTPUT, Tensor
from gantool.runtime.spec import Batch, Images, Labels, Latents

_TYPES = {"f32": "float32", "i64": "int64", "u8": "uint8", "u16": "uint16"}
_OTHERWISE = "run it with --provider cpu, or export it again"


class OpenVinoBackend:
    """A generator's graph, compiled by OpenVINO: in BF16 on CPUs that support it; `name` then includes BF16."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load `path`. With `threads` None, OpenVINO chooses the number of threads.

        Raises GantoolError for a graph that is broken or not a generator.
        """
        if find_spec("openvino") is None:
            raise MissingDependencyError("openvino", "openvino", f"running {path.name} with OpenVINO")
        try:
            self._core = core()
        except ImportError as error:  # the package is installed, but a library that it loads is missing
            raise GantoolError(
                f"openvino is installed but does not load ({error}): "
                f"{pip_install('openvino', '--force-reinstall ')}, or run it with --provider cpu"
            ) from error
        self._path = path
        graph = open_graph(path)
        self._fp16 = in_fp16(path, graph)
        count = threads or limit()
        self._settings = {"INFERENCE_NUM_THREADS": count} if count else {}
        check_openvino(path, graph, version("openvino"))
        if not adds_int8_exactly():
            with suppress(RuntimeError):  # a version without this switch
                self._core.set_property("CPU", {"LP_TRANSFORMS_MODE": False})  # Q/DQ in float32
        with self._translate_errors("load a graph", _OTHERWISE):
            self._model = self._core.read_model(graph[:])  # not the path: it would rely on the file's suffix
        compiled = self._compile("LATENCY")
        self.spec = spec_of_graph(path, graph, _tensors(compiled))
        self._latency_requests: SimpleQueue[Any] | None = _requests(compiled, 1)
        self._throughput_requests: SimpleQueue[Any] | None = None
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string().upper()
        self.name = "OpenVINO, CPU" + (f" in {precision}" if precision in ("BF16", "F16") else "")

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        """Turn z, float32 [n, latent], and label, as `spec` has it, into images, [n, H, W, C], on all cores."""
        return self._run(self._latency_requests, z, label)

    def infer_each(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Images]]:
        """Yield each batch with its images, as `infer` returns them, in order; each stream computes a part."""
        batches, parts = should_split(batches, self.spec)
        if not parts or self._latency_requests is None:
            yield from ((batch, self.infer(batch.z, batch.label)) for batch in batches)
            return
        if self._throughput_requests is None:
            compiled = self._compile("THROUGHPUT")
            self._count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            self._throughput_requests = _requests(compiled, self._count)
        yield from infer_split(batches, self._count, partial(self._run, self._throughput_requests))

    def close(self) -> None:
        """Free the compiled graphs."""
        self._latency_requests = self._throughput_requests = self._model = None

    def _compile(self, hint: str) -> Any:
        with self._translate_errors("load a graph", _OTHERWISE):
            return self._core.compile_model(self._model, "CPU", {**self._settings, "PERFORMANCE_HINT": hint})

    def _run(self, requests: SimpleQueue[Any] | None, z: Latents, label: Labels | None) -> Images:
        """Run a batch with a free infer request; a request runs one batch at a time."""
        if requests is None:
            raise GantoolError(f"{self._path} is closed: load it again")
        request = requests.get()
        try:
            with self._translate_errors(f"make {len(z)} images", "try a smaller --batch"), uncancellable():
                images = request.infer({"z": z} if label is None else {"z": z, "label": label})["images"]
        finally:
            requests.put(request)
        check_images(self._path, images, self.spec, len(z))
        return in_levels(images, self.spec.bits, self._fp16)

    @contextmanager
    def _translate_errors(self, what: str, advice: str) -> Iterator[None]:
        """Turn OpenVINO's errors into GantoolError: the message in one line, without source files and links."""
        try:
            yield
        except RuntimeError as error:
            lines = (line.strip() for line in str(error).splitlines())
            reason = " ".join(line for line in lines if line and " src/" not in line and "://" not in line)
            raise GantoolError(
                f"OpenVINO cannot {what} from {self._path}: {short(reason, 300)}; {advice}"
            ) from error


def _requests(compiled: Any, count: int) -> SimpleQueue[Any]:
    requests: SimpleQueue[Any] = SimpleQueue()
    for _ in range(count):
        requests.put(compiled.create_infer_request())
    return requests


def _tensors(compiled: Any) -> list[Tensor]:
    ports = [(port, INPUT) for port in compiled.inputs] + [(port, OUTPUT) for port in compiled.outputs]
    return [
        Tensor(_name(port), mode, _type(port), tuple(map(_size, port.partial_shape))) for port, mode in ports
    ]


def _type(port: Any) -> str:
    name: str = port.element_type.to_string()
    return _TYPES.get(name, name)


def _name(port: Any) -> str:
    """Return a tensor's name in the contract. A tensor has several names if operators were folded away."""
    return next((name for name in ("z", "label", "images") if name in port.names), port.any_name)


def _size(dimension: Any) -> int | None:
    return dimension.get_length() if dimension.is_static else None
