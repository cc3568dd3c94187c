"""Run a generator's ONNX graph with ONNX Runtime: on the CPU, with CUDA or with TensorRT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any

from gantool.runtime.artifacts.onnx import open_graph
from gantool.runtime.backends.graphs import check_images, in_fp16, spec_of_graph
from gantool.runtime.backends.providers import OF_ONNX_RUNTIME
from gantool.runtime.backends.quiet import import_onnxruntime, run_options
from gantool.runtime.backends.session import LEVELS, open_session, refused, said
from gantool.runtime.backends.sharding import infer_split, should_split
from gantool.runtime.errors import EngineMismatchError, GantoolError, MissingDependencyError, pip_install
from gantool.runtime.outputs.images import in_levels
from gantool.runtime.process.apart import level_that_works
from gantool.runtime.process.cpus import cores, limit
from gantool.runtime.process.interrupt import stopped
from gantool.runtime.signature import INPUT, OUTPUT, Tensor
from gantool.runtime.spec import Batch, Images, Labels, Latents


class OnnxRuntimeBackend:
    """A generator's graph in an ONNX Runtime session."""

    def __init__(
        self,
        path: Path,
        provider: str,
        threads: int | None = None,
        data: bytes | mmap | None = None,
        *,
        spin: bool = True,
    ) -> None:
        """Load a graph.

        provider: a key of OF_ONNX_RUNTIME
        threads:  of the CPU provider; None is one per core
        data:     the bytes of the file `path`, if they were already read
        spin:     whether threads of the CPU provider that wait burn CPU time

        Raises GantoolError for a graph that is broken or not a generator, and EngineMismatchError if the provider
        does not start here: ONNX Runtime itself would silently fall back to the CPU.
        """
        self._path, self._spin = path, spin
        self._graph = open_graph(path) if data is None else data
        self._level = level_that_works(path, self._graph) if provider == "cpu" else LEVELS[0]
        self._session = self._open(provider, threads or limit())
        self._on_gpu = provider != "cpu"
        self._threads = 1 if self._on_gpu else threads or cores()
        self._single_threaded: Any = None
        self.name = f"ONNX Runtime, {OF_ONNX_RUNTIME[provider].removesuffix('ExecutionProvider')}"
        self.spec = spec_of_graph(path, self._graph, _tensors(self._session))

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        """Turn z, float32 [n, latent], and label, as `spec` has it, into images, [n, H, W, C], on all cores."""
        return self._run(self._session, z, label)

    def infer_each(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Images]]:
        """Yield each batch with its images, as `infer` returns them, in order; each CPU core computes a part."""
        batches, parts = should_split(batches, self.spec)
        if not parts or self._threads == 1 or self._session is None:
            yield from ((batch, self.infer(batch.z, batch.label)) for batch in batches)
            return
        if self._single_threaded is None:
            self._single_threaded = self._open("cpu", 1)
        yield from infer_split(batches, self._threads, partial(self._run, self._single_threaded))

    def close(self) -> None:
        """Free the sessions."""
        self._session = self._single_threaded = None

    def _open(self, provider: str, threads: int) -> Any:
        """Return a session with `threads` threads; 0 means one per core."""
        try:
            onnxruntime = import_onnxruntime()
        except ModuleNotFoundError as error:
            raise MissingDependencyError("onnxruntime", "cpu", f"running {self._path.name}") from error
        name = OF_ONNX_RUNTIME[provider]
        if name not in onnxruntime.get_available_providers():
            raise EngineMismatchError(
                f"the installed ONNX Runtime has no {name}: pip uninstall onnxruntime, then "
                f"{pip_install('gpu')}"
            )
        try:
            session = open_session(self._graph[:], threads, self._level, name, spin=self._spin)
        except Exception as error:
            again = "export it again, or copy it again if it came over a network"
            why = refused(error) or f"{said(error)}; {again}"
            raise GantoolError(f"ONNX Runtime cannot load {self._path}: {why}") from error
        if session.get_providers()[0] != name:
            raise EngineMismatchError(
                f"{name} does not start here, though ONNX Runtime includes it (are the driver, CUDA and cuDNN that "
                "it needs installed?): run it on the CPU with --provider cpu"
            )
        return session

    def _run(self, session: Any, z: Latents, label: Labels | None) -> Images:
        if session is None:
            raise GantoolError(f"{self._path} is closed: load it again")
        feeds = {"z": z} if label is None else {"z": z, "label": label}
        try:
            images = (
                run_bound(session, feeds, "cuda")
                if self._on_gpu
                else session.run(["images"], feeds, run_options())[0]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            if stopped():
                raise KeyboardInterrupt from error
            raise GantoolError(
                f"ONNX Runtime failed on {len(z)} images from {self._path}: {said(error)}; "
                "try a smaller --batch"
            ) from error
        check_images(self._path, images, self.spec, len(z))
        return in_levels(images, self.spec.bits, in_fp16(self._path, self._graph))


def _tensors(session: Any) -> list[Tensor]:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    types = {"tensor(float)": "float32"}  # the others have NumPy's names: tensor(uint8)
    return [
        Tensor(node.name, mode, types.get(node.type, node.type[7:-1]), tuple(node.shape))
        for nodes, mode in ((inputs, INPUT), (outputs, OUTPUT))
        for node in nodes
    ]


def run_bound(session: Any, feeds: dict[str, Any], device: str) -> Any:
    """Run with the output bound to `device`, so that there is one copy each way; return the images."""
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output("images", device)
    session.run_with_iobinding(binding, run_options())
    return binding.copy_outputs_to_cpu()[0]
