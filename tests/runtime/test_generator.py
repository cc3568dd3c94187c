from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import count, islice, starmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.runtime import (
    EngineMismatchError,
    GantoolError,
    Generator,
    MissingDependencyError,
    Spec,
    UsageError,
)
from gantool.runtime.backends.onnxruntime import openvino_devices, run_bound
from gantool.runtime.seeds import latents
from gantool.runtime.spec import Images, Labels, Latents
from runtime.tiny import LATENT, tiny_graph


class PixelBackend:
    """A backend whose image is its z: [n, 2] -> [n, 1, 2, 1]. It refuses batches out of its range."""

    def __init__(self, min_batch: int, max_batch: int | None) -> None:
        self.name = "none"
        self.spec = Spec(2, height=1, width=2, channels=1, min_batch=min_batch, max_batch=max_batch)

    def infer(self, z: Latents, label: Labels | None = None) -> Images:  # noqa: ARG002
        assert self.spec.min_batch <= len(z) <= (self.spec.max_batch or len(z))
        return (z * 1000).astype(np.int64).astype(np.uint8).reshape(-1, 1, 2, 1)

    def infer_each(self, batches: Iterable[tuple[Latents, Labels | None]]) -> Iterator[Images]:
        return starmap(self.infer, batches)

    def close(self) -> None:
        pass


@given(
    seeds=st.lists(st.integers(0, 2**32 - 1), max_size=20),
    batch=st.none() | st.integers(1, 25),
    min_batch=st.integers(1, 6),
    more=st.none() | st.integers(0, 6),
)
@settings(deadline=None)
def test_any_batch_gives_the_same_images(
    seeds: list[int], batch: int | None, min_batch: int, more: int | None
) -> None:
    generator = Generator(PixelBackend(min_batch, None if more is None else min_batch + more))
    expected = Generator(PixelBackend(1, None)).images(seeds, batch=1)
    chunks = list(generator.generate(seeds, batch))
    assert all(len(chunk) == batch for chunk in chunks[:-1] if batch)
    np.testing.assert_array_equal(generator.images(seeds, batch), expected)
    assert expected.shape == (len(seeds), 1, 2, 1)


def test_endless_seeds_take_constant_memory() -> None:
    batches = Generator(PixelBackend(1, 64)).generate(count(), batch=64)
    next(batches)
    tracemalloc.start()
    for _ in islice(batches, 20):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000


@pytest.mark.parametrize("batch", [0, -1])
def test_batch_under_one_is_refused_at_once(batch: int) -> None:
    with pytest.raises(UsageError, match="batch"):
        Generator(PixelBackend(1, None)).generate([0], batch)


@pytest.mark.parametrize("graph", ["g.onnx", "g.fp16.onnx"])
def test_a_seed_is_byte_identical_in_any_batch(exported: Path, graph: str) -> None:
    with Generator.load(exported / graph) as generator:
        together = generator.images(range(64), batch=64)
        assert together.shape == (64, 32, 32, 1)
        assert together.dtype == np.uint8
        for batch in (1, 3, 17):
            np.testing.assert_array_equal(generator.images(range(64), batch), together)
        assert len({image.tobytes() for image in together}) == 64  # and no two are the same


def test_the_kind_is_told_by_the_bytes_not_the_name(exported: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "model.plan"
    renamed.write_bytes((exported / "g.onnx").read_bytes())
    with Generator.load(renamed) as generator:
        assert generator.spec.latent == 100


def test_unknown_provider(exported: Path) -> None:
    with pytest.raises(UsageError, match="--provider"):
        Generator.load(exported / "g.onnx", provider="tpu")


def test_a_provider_that_is_not_there_is_an_error_not_a_fallback(exported: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is installed")
    with pytest.raises(GantoolError, match=r"gantool\[gpu\]") as caught:
        Generator.load(exported / "g.onnx", provider="cuda")
    assert caught.value.exit_code == 4


def openvino() -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxruntime_ep_openvino")
    return onnxruntime, openvino_devices(onnxruntime)


def test_openvino_where_the_cpu_is_not_intels(exported: Path) -> None:
    if openvino()[1]:
        pytest.skip("the CPU is Intel's")
    with pytest.raises(EngineMismatchError, match="OpenVINO finds no Intel CPU.*--provider cpu"):
        Generator.load(exported / "g.onnx", provider="openvino")
    with Generator.load(exported / "g.onnx") as generator:
        assert generator.name == "ONNX Runtime, CPU"


def test_openvino_makes_the_same_images(exported: Path) -> None:
    if not openvino()[1]:
        pytest.skip("OpenVINO runs on Intel's devices only")
    with (
        Generator.load(exported / "g.onnx") as fast,
        Generator.load(exported / "g.onnx", provider="cpu") as plain,
    ):
        assert fast.name == "ONNX Runtime, OpenVINO"
        difference = fast.images(range(9)).astype(int) - plain.images(range(9))
    assert np.sqrt((difference**2).mean()) < 2.55  # 40 dB


def test_openvino_that_leaves_its_work_to_the_cpu_is_an_error(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime, _ = openvino()
    devices = [item for item in onnxruntime.get_ep_devices() if item.ep_name == "CPUExecutionProvider"]
    monkeypatch.setattr("gantool.runtime.backends.onnxruntime.openvino_devices", lambda _: devices)
    with pytest.raises(EngineMismatchError, match="OpenVINOExecutionProvider does not start here"):
        Generator.load(exported / "g.onnx", provider="openvino")


def test_openvino_that_is_not_installed(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantool.runtime.backends.onnxruntime.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"gantool\[openvino\]"):
        Generator.load(exported / "g.onnx", provider="openvino")


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_change_the_images(exported: Path, threads: int) -> None:
    with (
        Generator.load(exported / "g.onnx", threads=threads) as one,
        Generator.load(exported / "g.onnx", provider="cpu") as other,
    ):
        np.testing.assert_array_equal(one.images(range(9)), other.images(range(9)))


def test_threads_are_for_graphs(exported: Path) -> None:
    for file, threads in (("g.onnx", 0), ("g.rtx.plan", 2)):
        with pytest.raises(UsageError, match="--engine-threads"):
            Generator.load(exported / file, threads=threads)


def test_a_bound_run_gives_the_same_images() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(tiny_graph(), providers=["CPUExecutionProvider"])
    feeds = {"z": latents(range(5), LATENT)}
    np.testing.assert_array_equal(run_bound(session, feeds, "cpu"), session.run(["images"], feeds)[0])
