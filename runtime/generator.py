"""The one public class: an engine file becomes a function from seeds to images."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np

from gantool.runtime.artifacts.plan import identify
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.process.terminal import short
from gantool.runtime.seeds import DISTRIBUTIONS, class_number, labels, latents, whole_numbers
from gantool.runtime.spec import Backend, Images, Labels, Latents, Spec

DEFAULT_BATCH = 64
MAX_BATCH = 1 << 20
MAX_THREADS = 1024
_MAX_TRUNCATION = 1e37  # beyond it z leaves float32


class Generator:
    """A loaded engine. Use it as a context manager, or call `close`, to free the device.

    >>> with Generator.load("g.onnx") as generator:
    ...     images = generator.images(range(64))  # uint8 [64, H, W, C]
    """

    def __init__(self, backend: Backend) -> None:
        if backend.spec.distribution not in DISTRIBUTIONS:
            raise GantoolError(
                f"the engine wants a latent distribution {short(backend.spec.distribution)!r}, this gantool knows "
                f"{', '.join(DISTRIBUTIONS)}: install a newer one"
            )
        self._backend = backend

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        provider: str = "auto",
        threads: int | None = None,
    ) -> Generator:
        """Load an ONNX graph, a TensorRT plan or a TensorRT-RTX plan; its first bytes say which it is.

        `provider` is for graphs: auto, cpu, cuda, tensorrt or openvino; so are `threads`, of the CPU.
        Raises GantoolError or one of its kin, which `gantool.runtime.errors` draws.
        """
        return cls(load_backend(Path(path), provider, threads))

    @property
    def spec(self) -> Spec:
        """What the engine takes and gives: sizes, batches, types."""
        return self._backend.spec

    @property
    def name(self) -> str:
        """What runs the engine, in words: "ONNX Runtime, CPU"."""
        return self._backend.name

    def generate(
        self,
        seeds: Iterable[int],
        batch: int | None = None,
        truncation: float = 1.0,
        label: int | str | None = None,
    ) -> Iterator[Images]:
        """Yield the images of `seeds` in order, uint8 [n, H, W, C], n at most `batch`, in constant memory.

        Batches over the engine's largest are chunked, under its smallest padded. `truncation` scales z.
        `label` is the class of all images of a conditional generator, its number or its name in
        `spec.class_names`; without it each seed has its own, `seed % classes`.
        """
        if batch is not None and not 1 <= batch <= MAX_BATCH:
            raise UsageError(f"batch {batch}: give a whole number from 1 to {MAX_BATCH:,}")
        if not abs(truncation) <= _MAX_TRUNCATION:
            limit = "a finite number" if not math.isfinite(truncation) else "a smaller number"
            raise UsageError(f"`truncation` {truncation}: give {limit}, usually from 0 to 1")
        seeds = whole_numbers(seeds)
        spec = self.spec
        if spec.classes == 0 and label is not None:
            raise UsageError(f"`label` {label} is for conditional generators: this engine takes no label")
        label = class_number(label, spec.class_names)
        if spec.classes != 0:
            labels([], spec.classes, label, spec.class_names)  # before any work
        size = batch or min(DEFAULT_BATCH, spec.max_batch or DEFAULT_BATCH)
        return self._batches(iter(seeds), size, spec, truncation, label)

    def _batches(
        self, seeds: Iterator[int], size: int, spec: Spec, truncation: float, label: int | None
    ) -> Iterator[Images]:
        counts: deque[tuple[int, bool]] = deque()  # images of each part under way, and whether its batch ends

        def parts() -> Iterator[tuple[Latents, Labels | None]]:
            while chunk := list(islice(seeds, size)):
                z = latents(chunk, spec.latent, spec.distribution, truncation)  # [n, latent]
                classes = None if spec.classes == 0 else labels(chunk, spec.classes, label)  # [n]
                limit = spec.max_batch or len(z)
                for start in range(0, len(z), limit):
                    part = z[start : start + limit]
                    missing = max(spec.min_batch - len(part), 0)
                    counts.append((len(part), start + limit >= len(z)))
                    yield (
                        np.pad(part, ((0, missing), (0, 0))),
                        classes if classes is None else np.pad(classes[start : start + limit], (0, missing)),
                    )

        done: list[Images] = []
        for images in self._backend.infer_each(parts()):
            n, last = counts.popleft()
            done.append(images[:n])
            if last:
                yield np.concatenate(done) if len(done) > 1 else done[0]
                done = []

    def images(
        self,
        seeds: Iterable[int],
        batch: int | None = None,
        truncation: float = 1.0,
        label: int | str | None = None,
    ) -> Images:
        """Return the images of `seeds` as one array, uint8 [N, H, W, C]."""
        spec = self.spec
        empty = np.empty((0, spec.height, spec.width, spec.channels), np.uint8)
        return np.concatenate([empty, *self.generate(seeds, batch, truncation, label)])

    def close(self) -> None:
        """Free the device."""
        self._backend.close()

    def __enter__(self) -> Generator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_engine_threads(threads: int | None) -> None:
    """Raise UsageError for a number of threads that no engine is given."""
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"`threads` {threads}: give a whole number from 1 to {MAX_THREADS}")


def load_backend(path: Path, provider: str = "auto", threads: int | None = None) -> Backend:
    """Return what runs `path`, as `Generator.load` does; only its own module is imported."""
    check_engine_threads(threads)
    if identify(path) == "onnx":
        from gantool.runtime.backends import providers

        if (chosen := providers.choose(provider)) == "openvino":
            from gantool.runtime.backends.openvino import OpenVinoBackend

            return OpenVinoBackend(path, threads)
        from gantool.runtime.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(path, chosen, threads)
    if provider != "auto":
        raise UsageError(f"`provider` {provider} is for ONNX graphs: {path} is a plan, which runs on the GPU")
    if threads is not None:
        raise UsageError(f"`threads` is for ONNX graphs: {path} is a plan, which runs on the GPU")
    from gantool.runtime.backends.tensorrt.runner import TensorRTBackend

    return TensorRTBackend(path)
