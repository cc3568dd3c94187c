"""The backend on the stand-in driver, with the real cuda-bindings: run by test_tensorrt_backend.py, in a process of
its own whose libcuda.so.1 is standin/libcuda.c."""

from __future__ import annotations

import builtins
import gc
import hashlib
import json
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda.bindings import driver
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.runtime.backends.tensorrt.cuda import Device
from gantool.runtime.backends.tensorrt.runner import TensorRTBackend
from gantool.runtime.errors import EngineMismatchError, GantoolError, MissingDependencyError, UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.latents import latents
from gantool.runtime.outputs.images import to_levels, to_uint8
from gantool.runtime.spec import Batch
from helpers.fake_tensorrt import (
    CACHE,
    FIRST_ERROR,
    LATER_ERROR,
    Context,
    FakeTensorRT,
    World,
    cuda,
    images_of,
    plan_bytes,
)

VERSIONS: dict[str, tuple[int, int, int, int]] = {"tensorrt": (10, 3, 0, 30), "rtx": (1, 7, 1, 116)}


def write_plan(folder: Path, kind: str = "rtx") -> Path:
    path = folder / ("g.rtx.plan" if kind == "rtx" else "g.plan")
    path.write_bytes(plan_bytes(kind, VERSIONS[kind]))
    return path


def load(path: Path, world: World, kind: str = "rtx", version: str | None = None) -> TensorRTBackend:
    library = FakeTensorRT(world, version or ".".join(map(str, VERSIONS[kind])))
    return TensorRTBackend(path, library, driver)


def some_z(n: int) -> Any:
    return np.random.RandomState(n).randn(n, 6).astype(np.float32)


def write_sidecar(plan: Path, **more: object) -> None:
    digest = hashlib.sha256(plan.read_bytes()).hexdigest()
    plan.with_name(plan.name + ".json").write_text(json.dumps({"plan_sha256": digest, **more}))


# What works


@pytest.mark.parametrize("kind", ["INT64", "INT32"])
def test_a_conditional_engine(kind: str, tmp_path: Path) -> None:
    world = World()
    world.tensors["label"] = ("INPUT", kind, (-1,))
    plan = write_plan(tmp_path)
    write_sidecar(plan, metadata={"classes": 3})
    with Generator(load(plan, world)) as generator:
        assert generator.spec.classes == 3
        z = latents(range(7), 6)
        expected = images_of(z, (4, 5, 3), "UINT8")
        by_seed = (np.arange(7) % 3).astype(np.uint8).reshape(-1, 1, 1, 1)
        np.testing.assert_array_equal(generator.images(range(7)), expected + by_seed)
        np.testing.assert_array_equal(generator.images(range(7), label=2), expected + 2)
        with pytest.raises(UsageError, match="`label` 3: the classes of this engine are 0 to 2"):
            generator.images([0], label=3)
    world.check_all_freed()


def test_an_engine_with_soft_labels(tmp_path: Path) -> None:
    world = World()
    world.tensors["label"] = ("INPUT", "FLOAT", (-1, 3))
    with Generator(load(write_plan(tmp_path), world)) as generator:
        assert (generator.spec.classes, generator.spec.soft_labels) == (3, True)
        expected = images_of(latents(range(7), 6), (4, 5, 3), "UINT8")
        np.testing.assert_array_equal(generator.images(range(7), label=2), expected + 2)
        np.testing.assert_array_equal(generator.images(range(7), label=[0.5, 0, 0.5]), expected + 1)
    with (
        Generator(load(write_plan(tmp_path), world)) as generator,
        pytest.raises(UsageError, match="label has shape"),
    ):
        generator._backend.infer(some_z(2), np.zeros(2, np.int64))
    world.check_all_freed()


def test_a_conditional_engine_without_its_sidecar(tmp_path: Path) -> None:
    world = World()
    world.tensors["label"] = ("INPUT", "INT64", (-1,))
    backend = load(write_plan(tmp_path), world)
    with pytest.raises(UsageError, match="label has shape None"):
        backend.infer(some_z(2))
    with Generator(backend) as generator:
        assert generator.spec.classes is None
        with pytest.raises(UsageError, match="choose one with `label`"):
            generator.images([0])
        images = generator.images([0], label=5)
        np.testing.assert_array_equal(images, images_of(latents([0], 6), (4, 5, 3), "UINT8") + 5)


def test_a_label_for_an_engine_that_takes_none(tmp_path: Path) -> None:
    with (
        Generator(load(write_plan(tmp_path), World())) as generator,
        pytest.raises(UsageError, match="`label` 1"),
    ):
        generator.images([0], label=1)


@pytest.mark.parametrize("kind", ["tensorrt", "rtx"])
def test_images_come_out_and_all_is_freed(kind: str, tmp_path: Path) -> None:
    world = World()
    backend = load(write_plan(tmp_path, kind), world, kind)
    spec = backend.spec
    assert (spec.latent, spec.height, spec.width, spec.channels) == (6, 4, 5, 3)
    assert (spec.min_batch, spec.max_batch, spec.dtype, spec.distribution) == (1, 4, "uint8", "normal")
    results = [(some_z(n), backend.infer(some_z(n))) for n in (4, 1, 3, 2)]
    backend.close()
    backend.close()
    world.check_all_freed()
    for z, images in results:  # still whole after later batches, and after the buffers are gone
        np.testing.assert_array_equal(images, images_of(z, (4, 5, 3), "UINT8"))


def test_float_engine_of_16_bits_gives_uint16_images(tmp_path: Path) -> None:
    world = World(tensors={"images": ("OUTPUT", "FLOAT", (-1, 1, 4, 5)), "z": ("INPUT", "FLOAT", (-1, 6))})
    plan = write_plan(tmp_path)
    write_sidecar(plan, metadata={"bits": 16})
    backend = load(plan, world)
    images = backend.infer(some_z(2))
    np.testing.assert_array_equal(images, to_levels(images_of(some_z(2), (1, 4, 5), "FLOAT"), 16))
    assert images.dtype == np.uint16
    backend.close()
    world.check_all_freed()


def test_float_engine_gives_uint8_images(tmp_path: Path) -> None:
    world = World(tensors={"images": ("OUTPUT", "FLOAT", (-1, 1, 4, 5)), "z": ("INPUT", "FLOAT", (-1, 6))})
    backend = load(write_plan(tmp_path), world)
    spec = backend.spec
    assert (spec.height, spec.width, spec.channels, spec.dtype) == (4, 5, 1, "float32")
    z = some_z(2)
    images = backend.infer(z)
    assert images.shape == (2, 4, 5, 1)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, to_uint8(images_of(z, (1, 4, 5), "FLOAT")))
    with pytest.raises(GantoolError, match="NaN"):
        backend.infer(np.full((1, 6), np.nan, np.float32))
    backend.close()
    world.check_all_freed()


def test_engine_of_one_batch_size_needs_no_profile(tmp_path: Path) -> None:
    world = World(
        tensors={"z": ("INPUT", "FLOAT", (3, 6)), "images": ("OUTPUT", "UINT8", (3, 4, 4, 1))},
        batches=(3, 3, 3),
    )
    backend = load(write_plan(tmp_path), world)
    assert (backend.spec.min_batch, backend.spec.max_batch) == (3, 3)
    assert backend.infer(some_z(3)).shape == (3, 4, 4, 1)
    backend.close()


def test_it_runs_and_closes_in_other_threads(tmp_path: Path) -> None:
    world = World()
    backend = load(write_plan(tmp_path), world)
    images: list[Any] = []
    for work in (lambda: images.append(backend.infer(some_z(2))), backend.close):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    np.testing.assert_array_equal(images[0], images_of(some_z(2), (4, 5, 3), "UINT8"))
    world.check_all_freed()


def test_sidecar_names_the_distribution(tmp_path: Path) -> None:
    path = write_plan(tmp_path)
    write_sidecar(path, metadata={"latent": {"distribution": "uniform"}})
    backend = load(path, World())
    assert backend.spec.distribution == "uniform"
    backend.close()


@pytest.mark.parametrize("version", ["10.3.0", "10.3.0.30"])
def test_jetpack_names_three_numbers_of_its_version(version: str, tmp_path: Path) -> None:
    world = World(fail={"deserialize_cuda_engine": 1})
    with pytest.raises(GantoolError) as caught:
        load(write_plan(tmp_path, "tensorrt"), world, "tensorrt", version)
    assert "was built with" not in str(caught.value)


def test_version_compatible_tensorrt_plan_is_tensorrts_own_decision(tmp_path: Path) -> None:
    world = World()
    backend = load(write_plan(tmp_path, "tensorrt"), world, "tensorrt", "10.13.3.9")
    assert backend.infer(some_z(1)).shape == (1, 4, 5, 3)
    backend.close()


# A damaged plan is reported before anything about the machine


def test_damaged_plan_comes_before_the_missing_driver(tmp_path: Path) -> None:
    path = write_plan(tmp_path)
    write_sidecar(path)
    whole = path.read_bytes()
    flipped = whole[:50] + bytes([whole[50] ^ 1]) + whole[51:]
    for content, words in ((whole[:-1], "cut off"), (whole + b"x", "appended"), (flipped, "SHA-256")):
        path.write_bytes(content)
        with pytest.raises(GantoolError, match=words) as caught:
            TensorRTBackend(path, None, Absent(RuntimeError()))
        assert caught.value.exit_code == 1


def test_damaged_metadata_in_the_sidecar(tmp_path: Path) -> None:
    path = write_plan(tmp_path)
    write_sidecar(path, metadata=[1])
    with pytest.raises(GantoolError, match="its metadata is"):
        load(path, World())


# The machine does not fit


class Absent:
    """cuda.bindings.driver where cuInit raises, or returns, `answer`."""

    CUresult = driver.CUresult

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def cuInit(self, flags: int) -> tuple[Any]:  # noqa: ARG002, N802
        if isinstance(self._answer, Exception):
            raise self._answer
        return (self._answer,)


class DynamicLibNotFoundError(RuntimeError):
    """What cuda-bindings 12.9 and later raise; 12.8 raises RuntimeError itself."""


@pytest.mark.parametrize("error", [RuntimeError, DynamicLibNotFoundError])
@pytest.mark.parametrize("beside", ["g.fp16.onnx", "g.onnx", None])
def test_no_driver(error: type[Exception], beside: str | None, tmp_path: Path) -> None:
    if beside:
        (tmp_path / beside).write_bytes(b"")
    with pytest.raises(EngineMismatchError) as caught:
        TensorRTBackend(write_plan(tmp_path), None, Absent(error()))
    assert caught.value.exit_code == 4
    message = str(caught.value)
    assert "TensorRT-RTX 1.7.1.116 plan for compute capability 8.6" in message
    assert "no NVIDIA driver was found" in message
    assert f"gantool generate --engine {tmp_path / (beside or 'g.fp16.onnx')}" in message
    assert ("not beside it" in message) == (beside is None)


def test_driver_without_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(EngineMismatchError, match=r"no usable GPU.*CUDA_ERROR_NO_DEVICE"):
        TensorRTBackend(write_plan(tmp_path), None, Absent(driver.CUresult.CUDA_ERROR_NO_DEVICE))


def test_rtx_plan_of_another_version_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    world = World()
    with pytest.raises(
        EngineMismatchError, match=r"TensorRT-RTX 1\.7\.1\.116, here is 1\.8\.0\.3.*gantool export"
    ):
        load(write_plan(tmp_path), world, version="1.8.0.3")
    assert not world.calls["deserialize_cuda_engine"]
    world.check_all_freed()


def test_tensorrt_plan_of_another_version_that_does_not_load(tmp_path: Path) -> None:
    world = World(fail={"deserialize_cuda_engine": 1})
    with pytest.raises(
        EngineMismatchError, match=r"TensorRT 10\.3\.0\.30, here is 10\.16\.2.*the first reason"
    ):
        load(write_plan(tmp_path, "tensorrt"), world, "tensorrt", "10.16.2")
    world.check_all_freed()


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (FIRST_ERROR, GantoolError),
        (
            "The engine plan file is generated on an incompatible device, expecting compute 8.7",
            EngineMismatchError,
        ),
        ("The engine cannot run on this GPU, which has compute capability 9.0", EngineMismatchError),
        ("Platform specific tag mismatch detected", EngineMismatchError),
    ],
)
def test_plan_that_does_not_load(reason: str, expected: type[GantoolError], tmp_path: Path) -> None:
    world = World(fail={"deserialize_cuda_engine": 1}, reason=reason)
    with pytest.raises(GantoolError) as caught:
        load(write_plan(tmp_path), world)
    assert type(caught.value) is expected
    assert reason in str(caught.value)
    assert LATER_ERROR not in str(caught.value)
    world.check_all_freed()


def test_runtime_that_logs_an_error_is_not_used(tmp_path: Path) -> None:
    world = World(fail={"Runtime": 1}, reason="createInferRuntime: error: 35")
    with pytest.raises(EngineMismatchError, match=r"error: 35.*update the NVIDIA driver"):
        load(write_plan(tmp_path, "tensorrt"), world, "tensorrt")
    assert not world.calls["deserialize_cuda_engine"]
    world.check_all_freed()


@pytest.mark.parametrize(
    ("kind", "module", "expected"),
    [
        ("rtx", "tensorrt_rtx", r"tensorrt_rtx.*not installed.*\[rtx\]"),
        ("tensorrt", "tensorrt", r"tensorrt.*JetPack.*\[tensorrt\]"),
        ("rtx", "cuda.bindings", r"cuda-bindings.*\[rtx\]"),
        ("tensorrt", "cuda.bindings", r"cuda-bindings.*\[tensorrt\]"),
    ],
)
def test_missing_package(
    kind: str, module: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, module)
    given = None if module == "cuda.bindings" else driver
    with pytest.raises(MissingDependencyError, match=expected) as caught:
        TensorRTBackend(write_plan(tmp_path, kind), None, given)
    assert caught.value.exit_code == 5


def hide(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Make `import module` fail as if it were not installed."""
    import importlib

    real_import, real_import_module = builtins.__import__, importlib.import_module

    def check(name: str) -> None:
        if name == module or name.startswith(module + "."):
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    def fake_import(name: str, *rest: Any, **more: Any) -> Any:
        check(name)
        return real_import(name, *rest, **more)

    def fake_import_module(name: str, package: str | None = None) -> Any:
        check(name)
        return real_import_module(name, package)

    monkeypatch.setattr(builtins, "__import__", fake_import)
    monkeypatch.setattr("gantool.runtime.backends.tensorrt.library.import_module", fake_import_module)


# The engine is not a generator, or is given what it does not take

Z, IMAGES = ("INPUT", "FLOAT", (-1, 6)), ("OUTPUT", "UINT8", (-1, 4, 5, 3))


@pytest.mark.parametrize(
    ("tensors", "found"),
    [
        ({}, "inputs none and outputs none"),
        ({"z": Z}, r"inputs z float32 \[\?, 6\] and outputs none; expected"),
        ({"z": Z, "images": IMAGES, "label": ("INPUT", "INT64", (-1, 1))}, r"label int64 \[\?, 1\] and"),
        ({"latent": Z, "images": IMAGES}, "inputs latent float32"),
        ({"z": ("INPUT", "HALF", (-1, 6)), "images": IMAGES}, "inputs z HALF"),
        ({"z": ("INPUT", "FLOAT", (-1, 6, 1, 1)), "images": IMAGES}, r"\[\?, 6, 1, 1\]"),
        ({"z": Z, "images": ("OUTPUT", "HALF", (-1, 4, 5, 3))}, "outputs images HALF"),
        ({"z": Z, "images": ("OUTPUT", "UINT8", (-1, 3, 4, 5))}, r"uint8 \[\?, 3, 4, 5\]"),
        ({"z": Z, "images": ("OUTPUT", "FLOAT", (-1, 5, 4, 3))}, r"float32 \[\?, 5, 4, 3\]"),
        ({"z": Z, "images": ("OUTPUT", "UINT8", (-1, -1, 5, 3))}, r"\[\?, \?, 5, 3\]"),
        ({"z": Z, "images": ("OUTPUT", "UINT8", (2, 4, 5, 3))}, r"\[2, 4, 5, 3\]"),
        ({"z": IMAGES, "images": Z}, "outputs z"),
    ],
)
def test_engine_that_is_no_generator(
    tensors: dict[str, tuple[str, str, tuple[int, ...]]], found: str, tmp_path: Path
) -> None:
    world = World(tensors=tensors)
    with pytest.raises(GantoolError, match=found) as caught:
        load(write_plan(tmp_path), world)
    assert "[N, latent], perhaps label int64 [N] or float32 [N, classes], and images uint8" in str(
        caught.value
    )
    world.check_all_freed()


@pytest.mark.parametrize("shape", [(0, 6), (5, 6), (1, 7), (6,), (1, 6, 1, 1)])
def test_z_of_another_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    world = World()
    backend = load(write_plan(tmp_path), world)
    with pytest.raises(UsageError, match=r"takes \[1 to 4, 6\]"):
        backend.infer(np.zeros(shape, np.float32))
    assert backend.infer(some_z(1)).shape == (1, 4, 5, 3)  # it goes on
    backend.close()


# The engine or the GPU fails: one GantoolError, everything freed

LOADING = [
    ("cuDevicePrimaryCtxRetain", 1),
    ("cuCtxSetCurrent", 1),
    ("cuDeviceGetAttribute", 1),
    ("deserialize_cuda_engine", 1),
    ("create_execution_context", 1),
    ("cuStreamCreate", 1),
    *((name, nth) for name in ("cuEventCreate", "cuMemHostAlloc", "cuMemAlloc") for nth in (1, 2)),
]
SECOND = [  # of the second set of buffers
    ("create_execution_context", 2),
    ("cuStreamCreate", 2),
    *((name, nth) for name in ("cuEventCreate", "cuMemHostAlloc", "cuMemAlloc") for nth in (3, 4)),
]
RUNNING = [
    ("cuCtxSetCurrent", 2),
    ("set_input_shape", 1),
    ("set_tensor_address", 1),
    ("set_tensor_address", 2),
    ("cuMemcpyHtoDAsync", 1),
    ("cuEventRecord", 1),
    ("cuEventRecord", 2),
    ("execute_async_v3", 1),
    ("cuMemcpyDtoHAsync", 1),
    ("cuStreamSynchronize", 1),
    ("cuEventElapsedTime", 1),
]


@pytest.mark.parametrize("kind", ["tensorrt", "rtx"])
@pytest.mark.parametrize(("call", "nth"), LOADING)
def test_failure_while_loading(call: str, nth: int, kind: str, tmp_path: Path) -> None:
    world = World(fail={call: nth})
    with pytest.raises(GantoolError) as caught:
        load(write_plan(tmp_path, kind), world, kind)
    check_failure(call, str(caught.value), world)  # while the traceback is still held


@pytest.mark.parametrize("kind", ["tensorrt", "rtx"])
@pytest.mark.parametrize(("call", "nth"), SECOND)
def test_without_memory_for_two_it_runs_with_one(call: str, nth: int, kind: str, tmp_path: Path) -> None:
    world = World(fail={call: nth})
    backend = load(write_plan(tmp_path, kind), world, kind)
    for _, images in backend.infer_each(iter(batches([4, 4, 4]))):
        np.testing.assert_array_equal(images, images_of(some_z(4), (4, 5, 3), "UINT8"))
    backend.close()
    world.check_all_freed()


def test_tensorrt_8_has_one_context_for_a_profile(tmp_path: Path) -> None:
    world = World()
    backend = load(write_plan(tmp_path, "tensorrt"), world, "tensorrt", "8.6.2")
    assert len(list(backend.infer_each(iter(batches([4, 3, 4]))))) == 3
    assert world.calls["create_execution_context"] == 1
    backend.close()
    world.check_all_freed()


def test_interrupted_capture_is_ended_and_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    backend = load(write_plan(tmp_path, "tensorrt"), world, "tensorrt")
    list(backend.infer_each(iter(batches([4, 4]))))
    monkeypatch.setattr(Context, "execute_async_v3", interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend.infer(some_z(4))
    world.check_all_freed()


def interrupt(*arguments: object) -> None:
    arguments = ()  # noqa: F841 (what the traceback keeps would be freed too late; a binding in C keeps nothing)
    raise KeyboardInterrupt


@pytest.mark.parametrize(("call", "nth"), RUNNING)
def test_failure_while_running(call: str, nth: int, tmp_path: Path) -> None:
    world = World(fail={call: nth})
    backend = load(write_plan(tmp_path), world)
    with pytest.raises(GantoolError) as caught:
        backend.infer(some_z(2))
    check_failure(call, str(caught.value), world)
    with pytest.raises(GantoolError, match="is closed: load it again"):
        backend.infer(some_z(2))
    backend.close()


def check_failure(call: str, message: str, world: World) -> None:
    assert ("CUDA_ERROR_OUT_OF_MEMORY" if call.startswith("cu") else FIRST_ERROR) in message
    assert LATER_ERROR not in message
    world.check_all_freed()


def test_interrupted_run_frees_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    backend = load(write_plan(tmp_path), world)
    monkeypatch.setattr(Device, "download", interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend.infer(some_z(2))
    world.check_all_freed()


def test_failure_of_one_engine_does_not_speak_for_the_next(tmp_path: Path) -> None:
    world = World(fail={"create_execution_context": 1})
    library = FakeTensorRT(world, "1.7.1.116")
    path = write_plan(tmp_path)
    with pytest.raises(GantoolError, match="the first reason"):
        TensorRTBackend(path, library, driver)
    backend = TensorRTBackend(path, library, driver)
    assert backend.infer(some_z(1)).shape == (1, 4, 5, 3)
    backend.close()
    gc.collect()
    world.check_all_freed()


def test_device_waits_for_its_work_before_it_frees_memory() -> None:
    world = World()
    device = Device(driver)
    stream = device.stream()
    source = device.pinned((2, 3), np.float32)
    source[:] = 1
    device.upload(source, device.device_address(source), stream)
    device.close()
    device.close()
    world.check_all_freed()


# Two batches under way, graphs, zero copy, the cache of TensorRT-RTX


def batches(sizes: list[int]) -> list[Batch]:
    return [Batch(some_z(n)) for n in sizes]


@given(st.lists(st.integers(1, 4), max_size=12), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=40)
def test_any_batches_come_out_in_order(sizes: list[int], integrated: bool, capturable: bool) -> None:
    world = World(integrated=integrated, capturable=capturable)
    with tempfile.TemporaryDirectory() as folder:
        backend = load(write_plan(Path(folder), "tensorrt"), world, "tensorrt")
        results = list(backend.infer_each(iter(batches(sizes))))
    backend.close()
    world.check_all_freed()
    for n, (_, images) in zip(sizes, results, strict=True):
        np.testing.assert_array_equal(images, images_of(some_z(n), (4, 5, 3), "UINT8"))
    if integrated:
        assert world.count("cuMemAlloc") == world.count("cuMemcpyHtoDAsync") == 0


def test_the_next_batch_is_started_before_the_last_is_waited_for(tmp_path: Path) -> None:
    world = World()
    backend = load(write_plan(tmp_path), world)
    results = backend.infer_each(iter(batches([4, 4, 4, 4])))
    next(results)
    assert world.calls["execute_async_v3"] == 2
    assert world.count("cuStreamSynchronize") == 1
    assert cuda().standin_queued()  # the second is still under way
    for n in (3, 2, 4):  # another caller in between gets its own images, and the first goes on
        expected = images_of(some_z(n) + 1, (4, 5, 3), "UINT8")
        np.testing.assert_array_equal(backend.infer(some_z(n) + 1), expected)
    for _, images in results:
        np.testing.assert_array_equal(images, images_of(some_z(4), (4, 5, 3), "UINT8"))
    backend.close()
    world.check_all_freed()


def test_batches_that_nobody_fetches_are_waited_for_and_freed(tmp_path: Path) -> None:
    world = World()
    backend = load(write_plan(tmp_path), world)
    next(backend.infer_each(iter(batches([4, 4, 4, 4]))))
    backend.close()
    world.check_all_freed()


def test_a_graph_is_launched_from_the_second_batch_of_a_size_on(tmp_path: Path) -> None:
    world = World()
    backend = load(write_plan(tmp_path, "tensorrt"), world, "tensorrt")
    list(backend.infer_each(iter(batches([4] * 10))))
    assert world.count("cuGraphInstantiate") == 2  # one in each set of buffers
    assert world.count("cuGraphLaunch") == 8
    assert world.calls["execute_async_v3"] == 4  # a plain run and a capture in each
    assert world.calls["create_execution_context"] == 2
    assert backend.compute_seconds is not None
    backend.close()
    world.check_all_freed()


def test_the_graphs_of_the_last_three_sizes_are_kept(tmp_path: Path) -> None:
    """A full batch and a remainder, in turn, replay; each size has a context, which keeps its shape."""
    world = World()
    backend = load(write_plan(tmp_path, "tensorrt"), world, "tensorrt")

    def run(*sizes: int) -> tuple[int, int]:
        for n in sizes:
            for _ in range(2):  # both sets of buffers
                np.testing.assert_array_equal(
                    backend.infer(some_z(n)), images_of(some_z(n), (4, 5, 3), "UINT8")
                )
        return world.count("cuGraphInstantiate"), world.count("cuGraphExecDestroy")

    assert run(4, 4, 3, 3) == (4, 0)
    engine_runs, shapes = world.calls["execute_async_v3"], world.calls["set_input_shape"]
    assert run(4, 3, 4, 4, 3) == (4, 0)
    assert world.count("cuGraphLaunch") == 4 + 10
    assert (world.calls["execute_async_v3"], world.calls["set_input_shape"]) == (engine_runs, shapes)
    assert run(2, 2, 4, 3) == (6, 0)
    assert run(1, 1) == (8, 2)  # 2 ran longest ago
    assert run(4, 3) == (8, 2)
    assert world.calls["create_execution_context"] == 6
    backend.close()
    world.check_all_freed()


@pytest.mark.parametrize("failing", [3, 4, 5])
def test_without_memory_for_another_size_it_goes_on(failing: int, tmp_path: Path) -> None:
    world = World(fail={"create_execution_context": failing})
    backend = load(write_plan(tmp_path, "tensorrt"), world, "tensorrt")
    sizes = [4, 4, 4, 4, 3, 3, 4, 4, 2, 2, 4, 1, 3]
    for n, (_, images) in zip(sizes, backend.infer_each(iter(batches(sizes))), strict=True):
        np.testing.assert_array_equal(images, images_of(some_z(n), (4, 5, 3), "UINT8"))
    assert world.calls["create_execution_context"] <= 6
    backend.close()
    world.check_all_freed()


@pytest.mark.parametrize(("kind", "version"), [("rtx", None), ("tensorrt", "8.6.2")])
def test_one_context_a_buffer_set_where_more_are_of_no_use(
    kind: str, version: str | None, tmp_path: Path
) -> None:
    """TensorRT-RTX keeps its own graphs, and contexts of TensorRT 8 cannot share the profile."""
    world = World()
    backend = load(write_plan(tmp_path, kind), world, kind, version)
    list(backend.infer_each(iter(batches([4, 4, 3, 3, 2, 2, 4, 4]))))
    assert world.calls["create_execution_context"] == (2 if kind == "rtx" else 1)
    backend.close()
    world.check_all_freed()


@pytest.mark.parametrize(
    "call", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "engine"]
)
def test_without_a_graph_it_goes_on(call: str, tmp_path: Path) -> None:
    world = World(fail={} if call == "engine" else {call: 1}, capturable=call != "engine")
    backend = load(write_plan(tmp_path, "tensorrt"), world, "tensorrt")
    for _, images in backend.infer_each(iter(batches([4] * 8))):
        np.testing.assert_array_equal(images, images_of(some_z(4), (4, 5, 3), "UINT8"))
    assert world.count("cuGraphLaunch") == 0
    backend.close()
    world.check_all_freed()


@pytest.mark.parametrize("call", ["cuGraphLaunch", "cuStreamSynchronize", "cuMemcpyDtoHAsync"])
@pytest.mark.parametrize("nth", [1, 5])
def test_a_gpu_that_disappears_half_way(call: str, nth: int, tmp_path: Path) -> None:
    world = World(fail={call: nth}, sticky=True)
    backend = load(write_plan(tmp_path, "tensorrt"), world, "tensorrt")
    finished: list[Any] = []
    with pytest.raises(GantoolError, match="CUDA_ERROR_LAUNCH_FAILED"):
        finished.extend(backend.infer_each(iter(batches([4] * 20))))
    assert len(finished) >= nth - 1 or call != "cuStreamSynchronize"
    for _, images in finished:
        np.testing.assert_array_equal(images, images_of(some_z(4), (4, 5, 3), "UINT8"))
    world.check_all_freed()
    with pytest.raises(GantoolError, match="is closed"):
        backend.infer(some_z(4))


def test_the_cache_of_rtx_is_kept_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    for hits in (0, 1):
        world = World()
        backend = load(write_plan(tmp_path), world)
        backend.infer(some_z(2))
        backend.close()
        world.check_all_freed()
        assert world.calls["cache hit"] == hits
        (kept,) = (tmp_path / "cache/tensorrt-rtx").iterdir()
        assert re.fullmatch(r"[0-9a-f]{32}-stand-in-13000\.cache", kept.name)
    kept.write_bytes(b"of another version")
    world = World()
    backend = load(write_plan(tmp_path), world)
    backend.infer(some_z(2))
    backend.close()
    assert kept.read_bytes() == CACHE  # rejected, and made again
    assert world.calls["cache hit"] == 0


def test_a_cache_that_cannot_be_written_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "file"))
    world = World()
    backend = load(write_plan(tmp_path), world)
    backend.infer(some_z(2))
    backend.close()
    world.check_all_freed()


def test_a_failed_run_leaves_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    backend = load(write_plan(tmp_path), World(fail={"execute_async_v3": 1}))
    with pytest.raises(GantoolError):
        backend.infer(some_z(2))
    assert not (tmp_path / "cache").exists()
