"""The public class `Generator`: load an engine file, and generate images from seeds."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from gantool.runtime.artifacts.plan import identify
from gantool.runtime.classes import Label, OfImage, label_rows, labeller
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.latents import DISTRIBUTIONS, check_truncation, check_z, latents, rows_of
from gantool.runtime.process.terminal import short
from gantool.runtime.seeds import Row, Seed, as_seeds
from gantool.runtime.spec import Backend, Batch, Images, Latents, Spec

DEFAULT_BATCH = 64
MAX_BATCH = 1 << 20
MAX_THREADS = 1024
_log = logging.getLogger(__name__)
T = TypeVar("T")


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
        seeds: Iterable[Seed | str] | str | None = None,
        batch: int | None = None,
        truncation: float = 1.0,
        label: Label = None,
        *,
        z: ArrayLike | None = None,
        resample: float | None = None,
    ) -> Iterator[tuple[list[Seed], Images]]:
        """Yield each batch of `seeds` in order, with its images, uint8 [n, H, W, C], in constant memory.

        A seed is a whole number or a mix, as in "1+2" or "3~9@2of8"; `seeds` may also be text, as in "0-9,1+2".
        Or give `z`, float32 [N, latent], instead of seeds, truncation and resample; its seeds are Row(0) and so on.

        All batches but the last have `batch` images. A batch that is larger than the engine allows is computed in
        pieces, a smaller one is padded. `truncation` scales z, `resample` draws numbers beyond ±resample again.
        `label` is the class of all images of a conditional generator, a number or a name in `spec.class_names`, or
        an array of one number an image, [N]. Without it, the class of a seed is `seed % classes`. An engine with
        `spec.soft_labels` also takes mixes: the shares of the classes, floats [N, classes], or [classes] for all.

        Raises UsageError for invalid arguments, before the first image is requested.
        """
        spec = self.spec
        if z is None:
            if seeds is None:
                raise UsageError("`seeds`: give seeds or `z`")
            check_truncation(truncation, resample, spec.distribution)
            prior = partial(
                latents,
                size=spec.latent,
                distribution=spec.distribution,
                truncation=truncation,
                resample=resample,
            )
            asked = as_seeds(seeds)
            known = seeds if isinstance(seeds, Sized) and not isinstance(seeds, str) else asked
            label_of = labeller(label, spec, len(known) if isinstance(known, Sized) else None)
            return self.run(label_of(asked), prior, batch)
        if seeds is not None:
            raise UsageError("`z` and `seeds`: give one of them")
        if truncation != 1 or resample is not None:
            raise UsageError("`z` is used as it is: leave `truncation` and `resample` out")
        array = check_z(z, spec.latent)
        label_of = labeller(label, spec, len(array))
        return self.run(label_of(map(Row, range(len(array)))), partial(rows_of, array), batch)

    def run(
        self,
        labelled: Iterable[tuple[T, OfImage | None]],
        z_of: Callable[[list[T]], Latents],
        batch: int | None = None,
    ) -> Iterator[tuple[list[T], Images]]:
        """Yield each batch of `labelled`, pairs of anything and its class, without the classes, with its images.

        `z_of` returns z, float32 [n, latent], for n of them. Raises UsageError for a wrong `batch` at once.
        """
        if batch is not None and not 1 <= batch <= MAX_BATCH:
            raise UsageError(f"batch {batch}: give a whole number from 1 to {MAX_BATCH:,}")
        spec = self.spec
        size = batch or min(DEFAULT_BATCH, spec.max_batch or DEFAULT_BATCH)
        pieces = _batches(iter(labelled), z_of, size, spec)
        return _whole(self._backend.infer_each(pieces), size)

    def generate(
        self,
        seeds: Iterable[Seed | str] | str | None = None,
        batch: int | None = None,
        truncation: float = 1.0,
        label: Label = None,
        *,
        z: ArrayLike | None = None,
        resample: float | None = None,
    ) -> Iterator[Images]:
        """Yield the images of `stream` without the seeds."""
        stream = self.stream(seeds, batch, truncation, label, z=z, resample=resample)
        return (images for _, images in stream)

    def images(
        self,
        seeds: Iterable[Seed | str] | str | None = None,
        batch: int | None = None,
        truncation: float = 1.0,
        label: Label = None,
        *,
        z: ArrayLike | None = None,
        resample: float | None = None,
    ) -> Images:
        """Return the images of `seeds` or `z` as one array, uint8 (uint16 for 16 `spec.bits`) [N, H, W, C]."""
        spec = self.spec
        empty = np.empty((0, spec.height, spec.width, spec.channels), f"uint{spec.bits}")
        made = self.generate(seeds, batch, truncation, label, z=z, resample=resample)
        return np.concatenate([empty, *made])

    def z(
        self, seeds: Iterable[Seed | str] | str, truncation: float = 1.0, resample: float | None = None
    ) -> Latents:
        """Return the z of seeds, float32 [N, latent], as `images` uses it."""
        spec = self.spec
        check_truncation(truncation, resample, spec.distribution)
        return latents(as_seeds(seeds), spec.latent, spec.distribution, truncation, resample)

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
    labelled: Iterator[tuple[T, OfImage | None]], z_of: Callable[[list[T]], Latents], size: int, spec: Spec
) -> Iterator[Batch]:
    """Yield batches of `size` images, cut or padded to sizes that the engine takes."""
    limit = spec.max_batch or size
    while chunk := list(islice(labelled, size)):
        for start in range(0, len(chunk), limit):
            piece = chunk[start : start + limit]
            keys = [key for key, _ in piece]
            z = z_of(keys)  # [n, latent]
            of_images = [label for _, label in piece if label is not None]
            if (missing := spec.min_batch - len(piece)) > 0:
                z = np.pad(z, ((0, missing), (0, 0)))  # [min batch, latent]
                of_images += [0] * missing
            label = None if spec.classes == 0 else label_rows(of_images, spec)  # [n] or [n, classes]
            yield Batch(z, label, keys)


def _whole(pieces: Iterable[tuple[Batch, Images]], size: int) -> Iterator[tuple[list[Any], Images]]:
    """Join the pieces of each batch of `size` images; drop the padding."""
    keys: list[Any] = []
    done: list[Images] = []
    for batch, images in pieces:
        keys += batch.keys
        done.append(images[: len(batch.keys)])
        if len(keys) == size:
            yield keys, _joined(done)
            keys, done = [], []
    if keys:
        yield keys, _joined(done)


def _joined(images: list[Images]) -> Images:
    return images[0] if len(images) == 1 else np.concatenate(images)


def check_engine_threads(threads: int | None) -> None:
    """Raise UsageError for a number of threads that is out of range."""
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"`threads` {threads}: give a whole number from 1 to {MAX_THREADS}")


def load_backend(
    path: Path, provider: str = "auto", threads: int | None = None, *, spin: bool = True
) -> Backend:
    """Return the backend that runs `path`; import only its module. Raises the errors of `Generator.load`.

    `spin`: threads of ONNX Runtime that wait burn CPU time, which is faster where nothing else needs it.
    """
    check_engine_threads(threads)
    if identify(path) == "onnx":
        from gantool.runtime.backends import providers

        if (chosen := providers.choose(provider)) == "openvino":
            from gantool.runtime.backends.openvino import OpenVinoBackend

            return OpenVinoBackend(path, threads)
        from gantool.runtime.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(path, chosen, threads, spin=spin)
    if provider != "auto":
        raise UsageError(f"`provider` {provider} is for ONNX graphs: {path} is a plan, which runs on the GPU")
    if threads is not None:
        raise UsageError(f"`threads` is for ONNX graphs: {path} is a plan, which runs on the GPU")
    from gantool.runtime.backends.tensorrt.runner import TensorRTBackend

    return TensorRTBackend(path)
