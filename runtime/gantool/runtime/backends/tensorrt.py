"""Run a plan with TensorRT or TensorRT-RTX: the names used here are the same in both modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.backends.cuda import Device, driver_problem, import_driver
from gantool.runtime.backends.library import extra, import_library, no_gpu, recorder, refused, version_problem
from gantool.runtime.errors import EngineMismatchError, GantoolError, UsageError
from gantool.runtime.images import to_uint8
from gantool.runtime.plan import NAMES, describe, read_header
from gantool.runtime.sidecar import read_sidecar
from gantool.runtime.spec import Images, Labels, Latents, Spec

_LABEL_TYPES = {"INT64": np.int64, "INT32": np.int32}  # TensorRT 8 makes INT32 of the graph's INT64
Tensor = tuple[str, str, tuple[int, ...]]  # INPUT or OUTPUT, the name of its type, its shape with -1 for any


class TensorRTBackend:
    """A generator's plan on GPU 0, with buffers for the largest batch of profile 0. One thread at a time."""

    def __init__(self, path: Path, library: Any = None, driver: Any = None) -> None:
        """Load `path`. The engine library and `cuda.bindings.driver` are imported where they are not given.

        Raises GantoolError for a plan that is damaged or no generator, EngineMismatchError if it was built
        for another version or device or there is no driver, and MissingDependencyError.
        """
        self._path = path
        self._device: Device | None = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        # What is wrong with the file comes first, then the machine, and last the library: it is large, of no
        # use without a driver, and TensorRT's Runtime crashes without one.
        self._header = read_header(path)
        self.name = NAMES[self._header.kind]
        metadata = _metadata(path)
        purpose = f"running {path.name}, a {describe(self._header)},"
        driver = driver or import_driver(extra(self._header.kind), purpose)
        if (problem := driver_problem(driver)) is not None:
            raise no_gpu(path, self._header, problem)
        trt = library or import_library(self._header.kind, purpose)
        # TensorRT looks itself, and may load a version-compatible plan; TensorRT-RTX does not look
        if self._header.kind == "rtx" and (problem := version_problem(path, self._header, trt)) is not None:
            raise EngineMismatchError(problem)
        try:
            self._load(trt, driver, *metadata)
        except BaseException:
            self.close()
            raise

    def infer(self, z: Latents, label: Labels | None = None) -> Images:
        """Turn z, float32 [n, latent], and label, int64 [n], into images, uint8 [n, H, W, C].

        Raises UsageError if the engine does not take their shapes, and GantoolError, with everything freed, if
        the engine or the GPU fails.
        """
        if self._context is None:
            raise GantoolError(f"{self._path} is closed: load it again")
        low, high, latent = self.spec.min_batch, len(self._images), self.spec.latent
        if z.ndim != 2 or z.shape[1] != latent or not low <= len(z) <= high:
            raise UsageError(f"z is {list(z.shape)}, {self._path} takes [{low} to {high}, {latent}]")
        found, wanted = (
            None if label is None else label.shape,
            z.shape[:1] if "label" in self._inputs else None,
        )
        if found != wanted:
            raise UsageError(f"label has shape {found}, {self._path} takes {wanted}")
        try:
            images = self._run(z, label)
        except BaseException:
            self.close()
            raise
        return images if self.spec.dtype == "uint8" else to_uint8(images)

    def close(self) -> None:
        """Free the engine and the device. Calling it twice is harmless."""
        if self._device is None:
            return
        self._device.settle()  # the execution context has memory of its own that may be in use
        # in this order, and while the CUDA context lives
        self._context = None
        self._engine = None
        self._runtime = None
        self._device.close()
        self._device = None

    # Engine objects live in attributes only: the traceback of what is raised here would keep a local variable
    # alive past `close`, to be freed after the CUDA context.

    def _load(self, trt: Any, driver: Any, distribution: str, classes: int | None) -> None:
        logger = recorder(trt)
        self._errors: list[str] = logger.errors
        self._errors.clear()
        self._device = device = Device(driver)
        try:
            self._runtime = trt.Runtime(logger)
        except TypeError as error:  # what the bindings make of a null pointer
            self._errors.append(str(error))
        if self._errors:  # a driver that is too old, say; a Runtime that begins so may crash on its first use
            raise EngineMismatchError(
                f"{self.name} does not start: {self._reason()}; update the NVIDIA driver"
            )
        self._engine = self._runtime.deserialize_cuda_engine(self._path.read_bytes())
        if self._engine is None:
            raise refused(self._path, self._header, trt, self._reason())
        tensors = _tensors(self._engine)
        spec = _spec(self._path, tensors, distribution, classes)
        if spec.max_batch is None:
            smallest, _, largest = self._engine.get_tensor_profile_shape("z", 0)
            spec = replace(spec, min_batch=smallest[0], max_batch=largest[0])
        self.spec = spec
        self._context = self._engine.create_execution_context()
        self._expect(self._context is not None, "make an execution context")
        size = (spec.height, spec.width, spec.channels)
        if spec.dtype == "float32":
            size = (spec.channels, spec.height, spec.width)
        batch = spec.max_batch or 1
        self._inputs = {"z": device.pinned((batch, spec.latent), np.float32)}  # [max batch, latent]
        if "label" in tensors:
            self._inputs["label"] = device.pinned((batch,), _LABEL_TYPES[tensors["label"][1]])  # [max batch]
        self._images = device.pinned((batch, *size), spec.dtype)
        buffers = {**self._inputs, "images": self._images}
        self._addresses = {name: device.memory(buffer.nbytes) for name, buffer in buffers.items()}

    def _run(self, z: Latents, label: Labels | None) -> NDArray[Any]:
        """Return the engine's own output: uint8 [n, H, W, C] or float32 [n, C, H, W]."""
        assert self._device is not None
        n = len(z)
        self._errors.clear()
        self._device.activate()  # the last call may have come from another thread
        inputs: dict[str, NDArray[Any]] = {"z": z} if label is None else {"z": z, "label": label}
        for name, value in inputs.items():
            self._expect(self._context.set_input_shape(name, value.shape), f"take a batch of {n}")
        for name, address in self._addresses.items():
            self._expect(self._context.set_tensor_address(name, address), f"take the address of {name}")
        for name, value in inputs.items():
            self._inputs[name][:n] = value
            self._device.upload(self._inputs[name][:n], self._addresses[name])
        self._expect(self._context.execute_async_v3(self._device.stream), f"run a batch of {n}")
        self._device.download(self._addresses["images"], self._images[:n])
        self._device.synchronize()
        return self._images[:n].copy()  # the next call writes over the buffer

    def _expect(self, done: bool, what: str) -> None:
        if not done:
            advice = "free memory on the GPU, or build the plan for smaller batches"
            raise GantoolError(f"{self.name} cannot {what} with {self._path}: {self._reason()}; {advice}")

    def _reason(self) -> str:
        return self._errors[0] if self._errors else "it logged no reason"  # later lines follow from the first


def _tensors(engine: Any) -> dict[str, Tensor]:
    """Return what the engine takes and gives."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    modes = [engine.get_tensor_mode(name).name for name in names]
    types = [engine.get_tensor_dtype(name).name for name in names]
    shapes = [tuple(engine.get_tensor_shape(name)) for name in names]
    return dict(zip(names, zip(modes, types, shapes, strict=True), strict=True))


def _spec(path: Path, tensors: dict[str, Tensor], distribution: str, classes: int | None) -> Spec:
    """Read the contract off the engine's tensors. Raises GantoolError if it is no generator."""
    label = tensors.get("label")
    match tensors:
        case {"z": ("INPUT", "FLOAT", (batch, latent)), "images": ("OUTPUT", kind, (same, a, b, c))} if (
            len(tensors) == (2 if label is None else 3)
            and label in (None, *(("INPUT", name, (batch,)) for name in _LABEL_TYPES))
            and batch == same
            and kind in ("UINT8", "FLOAT")
            and min(latent, a, b, c) > 0
        ):
            height, width, channels = (a, b, c) if kind == "UINT8" else (b, c, a)
            if channels in (1, 3):
                dynamic = batch < 0
                return Spec(
                    latent=latent,
                    height=height,
                    width=width,
                    channels=channels,
                    min_batch=1 if dynamic else batch,
                    max_batch=None if dynamic else batch,
                    dtype="uint8" if kind == "UINT8" else "float32",
                    distribution=distribution,
                    classes=0 if label is None else classes,
                )
    shown = ", ".join(
        f"{mode.lower()} {name} {kind} {list(dims)}" for name, (mode, kind, dims) in tensors.items()
    )
    raise GantoolError(
        f"{path} is no generator of gantool: it has {shown or 'no tensors'}; expected input z FLOAT "
        "[N, latent], perhaps label INT64 [N], and output images UINT8 [N, H, W, C] or FLOAT [N, C, H, W] with C "
        "1 or 3"
    )


def _metadata(path: Path) -> tuple[str, int | None]:
    """Return the distribution of z and the number of classes that the sidecar names; else normal and None."""
    try:
        metadata = read_sidecar(path).get("metadata", {})
        distribution = str(metadata.get("latent", {}).get("distribution", "normal"))
        return distribution, int(metadata.get("classes", 0)) or None
    except (AttributeError, ValueError, TypeError) as error:
        raise GantoolError(f"the metadata in the sidecar of {path} is damaged: export it again") from error
