"""The public class `Generator`: load an engine file, and generate images from seeds."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np

from gantool.runtime.artifacts.plan import identify
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.process.terminal import short
from gantool.runtime.seeds import DISTRIBUTIONS, class_number, labels, latents, whole_numbers
from gantool.runtime.spec import Backend, Batch, Images, Spec

DEFAULT_BATCH = 64
MAX_BATCH = 1 << 20
MAX_THREADS = 1024
_MAX_TRUNCATION = 1e37  # a larger one makes z overflow float32
_log = logging.getLogger(__name__)


class Generator:
    """A loaded engine. Use it as a context manager, or call `close`, to free the device.

    >>> with Generator.load("g.onnx") as generator:
    ...     images = generator.images(range(64))  # uint8 [64, H, W, C]
    """

    def __init__(self, backend: Backend) -> None:
        if backend.spec.distribution not in DISTRIBUTIONS:
            raise GantoolError(
                f"the engine uses the latent distribution {short(backend.spec.distribution)!r}, this gantool knows "
                f"{', '.join(DISTRIBUTIONS)}: install a newer gantool"
            )
        self._backend = backend

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        provider: str = "auto",
        threads: int | None = None,
    ) -> Generator:
        """Load an ONNX graph, a TensorRT plan or a TensorRT-RTX plan, recognized by its first bytes.

        `provider` (auto, cpu, cuda, tensorrt or openvino) and `threads` (of the CPU) are for graphs only.
        Raises GantoolError or one of its subclasses, see `gantool.runtime.errors`.
        """
        backend = load_backend(Path(path), provider, threads)
        _log.debug("%s runs on %s", path, backend.name)
        return cls(backend)

    @property
    def spec(self) -> Spec:
        """The inputs and outputs of the engine: sizes, batches, types."""
        return self._backend.spec

    @property
    def name(self) -> str:
        """The library and device that run the engine: "ONNX Runtime, CPU"."""
        return self._backend.name

    def stream(
        self,
        seeds: Iterable[int],
        batch: int | None = None,
        truncation: float = 1.0,
        label: int | str | None = None,
    ) -> Iterator[tuple[list[int], Images]]:
        """Yield each batch of `seeds` in order, with its images, uint8 [n, H, W, C], in constant memory.

        All batches but the last have `batch` images. A batch that is larger than the engine allows is computed in
        pieces, a smaller one is padded. `truncation` scales z. `label` is the class of all images of a conditional
        generator: a number, or a name in `spec.class_names`. Without it, the class of a seed is `seed % classes`.

        Raises UsageError for invalid arguments, before the first image is requested.
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
            labels([], spec.classes, label, spec.class_names)  # raises UsageError before any work
        size = batch or min(DEFAULT_BATCH, spec.max_batch or DEFAULT_BATCH)
        pieces = _batches(iter(seeds), size, spec, truncation, label)
        return _whole(self._backend.infer_each(pieces), size)

    def generate(
        self,
        seeds: Iterable[int],
        batch: int | None = None,
        truncation: float = 1.0,
        label: int | str | None = None,
    ) -> Iterator[Images]:
        """Yield the images of `stream` without the seeds."""
        return (images for _, images in self.stream(seeds, batch, truncation, label))

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


def _batches(
    seeds: Iterator[int], size: int, spec: Spec, truncation: float, label: int | None
) -> Iterator[Batch]:
    """Yield batches of `size` seeds, cut or padded to sizes that the engine takes."""
    limit = spec.max_batch or size
    while chunk := list(islice(seeds, size)):
        for start in range(0, len(chunk), limit):
            piece = chunk[start : start + limit]
            z = latents(piece, spec.latent, spec.distribution, truncation)  # [n, latent]
            classes = None if spec.classes == 0 else labels(piece, spec.classes, label)  # [n]
            if (missing := spec.min_batch - len(piece)) > 0:
                z = np.pad(z, ((0, missing), (0, 0)))  # [min batch, latent]
                classes = classes if classes is None else np.pad(classes, (0, missing))
            yield Batch(z, classes, piece)


def _whole(pieces: Iterable[tuple[Batch, Images]], size: int) -> Iterator[tuple[list[int], Images]]:
    """Join the pieces of each batch of `size` seeds; drop the padding."""
    seeds: list[int] = []
    done: list[Images] = []
    for batch, images in pieces:
        seeds += batch.seeds
        done.append(images[: len(batch.seeds)])
        if len(seeds) == size:
            yield seeds, _joined(done)
            seeds, done = [], []
    if seeds:
        yield seeds, _joined(done)


def _joined(images: list[Images]) -> Images:
    return images[0] if len(images) == 1 else np.concatenate(images)


def check_engine_threads(threads: int | None) -> None:
    """Raise UsageError for a number of threads that is out of range."""
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"`threads` {threads}: give a whole number from 1 to {MAX_THREADS}")


def load_backend(path: Path, provider: str = "auto", threads: int | None = None) -> Backend:
    """Return the backend that runs `path`; import only its module. Raises the errors of `Generator.load`."""
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
