from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from importlib.resources import as_file, files
from itertools import count, islice
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.export.packaging import bundle
from gantool.runtime import (
    GantoolError,
    Generator,
    MissingDependencyError,
    Spec,
    UsageError,
)
from gantool.runtime.backends import providers, quiet
from gantool.runtime.backends.onnxruntime import OnnxRuntimeBackend, run_bound
from gantool.runtime.backends.openvino import OpenVinoBackend
from gantool.runtime.latents import latents
from gantool.runtime.outputs.images import to_uint8
from gantool.runtime.spec import Batch, Images, Labels, Latents
from helpers.tiny import LATENT, tiny_graph


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> OnnxRuntimeBackend:
    path = tmp_path_factory.mktemp("tiny") / "g.onnx"
    path.write_bytes(tiny_graph())
    return OnnxRuntimeBackend(path, "cpu")


class PixelBackend:
    """A backend whose image is its z: [n, 2] -> [n, 1, 2, 1]. It refuses batches out of its range."""

    def __init__(self, min_batch: int, max_batch: int | None) -> None:
        self.name = "none"
        self.spec = Spec(2, height=1, width=2, channels=1, min_batch=min_batch, max_batch=max_batch)

    def infer(self, z: Latents, label: Labels | None = None) -> Images:  # noqa: ARG002
        assert self.spec.min_batch <= len(z) <= (self.spec.max_batch or len(z))
        return (z * 1000).astype(np.int64).astype(np.uint8).reshape(-1, 1, 2, 1)

    def infer_each(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Images]]:
        return ((batch, self.infer(batch.z)) for batch in batches)

    def close(self) -> None:
        pass


@given(
    seeds=st.lists(st.integers(0, 2**32 - 1), max_size=20),
    batch=st.none() | st.integers(1, 25),
    min_batch=st.integers(1, 6),
    more=st.none() | st.integers(0, 6),
)
def test_any_batch_gives_the_same_images(
    seeds: list[int], batch: int | None, min_batch: int, more: int | None
) -> None:
    generator = Generator(PixelBackend(min_batch, None if more is None else min_batch + more))
    expected = Generator(PixelBackend(1, None)).images(seeds, batch=1)
    chunks = list(generator.generate(seeds, batch))
    assert all(len(chunk) == batch for chunk in chunks[:-1] if batch)
    np.testing.assert_array_equal(generator.images(seeds, batch), expected)
    assert expected.shape == (len(seeds), 1, 2, 1)
    pairs = list(generator.stream(iter(seeds), batch))
    assert [seed for batch_of, _ in pairs for seed in batch_of] == seeds
    assert all(len(of) == len(images) for of, images in pairs)


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
    with pytest.raises(UsageError, match="`provider`"):
        Generator.load(exported / "g.onnx", provider="tpu")


def test_a_provider_that_is_not_there_is_an_error_not_a_fallback(exported: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is installed")
    with pytest.raises(GantoolError, match=r"\[gpu\]") as caught:
        Generator.load(exported / "g.onnx", provider="cuda")
    assert caught.value.exit_code == 4


def test_openvino_makes_the_same_images(exported: Path) -> None:
    pytest.importorskip("openvino")
    for graph in ("g.onnx", "g.fp16.onnx"):
        with (
            Generator.load(exported / graph, provider="openvino") as fast,
            Generator.load(exported / graph, provider="cpu") as plain,
        ):
            assert fast.name.startswith("OpenVINO, CPU")
            assert fast.spec == plain.spec
            expected = plain.images(range(9))
            for batch in (None, 1, 4):
                difference = fast.images(range(9), batch).astype(int) - expected
                assert np.sqrt((difference**2).mean()) < 2.55  # 40 dB
        for closed in (fast, plain):
            for seeds in (range(1), range(200)):
                with pytest.raises(GantoolError, match="is closed"):
                    closed.images(seeds)


@pytest.mark.parametrize("intel", [True, False])
def test_auto_takes_openvino_on_a_cpu_of_intel(
    exported: Path, monkeypatch: pytest.MonkeyPatch, intel: bool
) -> None:
    pytest.importorskip("openvino")
    if "CUDAExecutionProvider" in pytest.importorskip("onnxruntime").get_available_providers():
        pytest.skip("CUDA comes first")
    monkeypatch.setattr(providers, "_is_intel", lambda: intel)
    with Generator.load(exported / "g.onnx") as generator:
        assert generator.name.startswith("OpenVINO" if intel else "ONNX Runtime, CPU")


@pytest.mark.parametrize("there", [("openvino",), ("onnxruntime",), ()])
def test_auto_takes_what_is_installed(
    exported: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]
) -> None:
    for name in ("openvino", "onnxruntime"):
        pytest.importorskip(name)
    monkeypatch.setattr(providers, "find_spec", lambda name: name in there or None)
    if not there:
        with pytest.raises(MissingDependencyError, match=r"\[cpu\]"):
            Generator.load(exported / "g.onnx")
        return
    with Generator.load(exported / "g.onnx") as generator:
        assert generator.name.startswith("OpenVINO" if there == ("openvino",) else "ONNX Runtime")


def test_openvino_that_is_not_installed(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantool.runtime.backends.openvino.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"\[openvino\]"):
        Generator.load(exported / "g.onnx", provider="openvino")


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_graph_that_a_library_does_not_load(tmp_path: Path, provider: str) -> None:
    pytest.importorskip("openvino")
    model = onnx.load_from_string(tiny_graph())
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "g.onnx")
    with pytest.raises(GantoolError, match=r"cannot load .*g\.onnx: .*NoSuchOperator") as caught:
        Generator.load(tmp_path / "g.onnx", provider=provider)
    assert "\n" not in str(caught.value)


@given(
    sizes=st.lists(st.integers(1, 7), max_size=8),
    threads=st.integers(1, 4),
)
@settings(max_examples=30)
def test_one_part_of_a_batch_for_each_core(tiny: OnnxRuntimeBackend, sizes: list[int], threads: int) -> None:
    tiny._threads = threads
    batches = [Batch(latents(range(n), LATENT)) for n in sizes]
    made = list(tiny.infer_each(iter(batches)))
    assert len(made) == len(batches)
    for (same, images), batch in zip(made, batches, strict=True):
        assert same is batch
        np.testing.assert_array_equal(images, tiny.infer(batch.z))


def test_parts_of_a_conditional_generator(tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    with as_file(files("gantool.export.doctor") / "golden/conditional.tar") as tar:
        path.write_bytes(bundle.read(tar).graph)
    backend = OnnxRuntimeBackend(path, "cpu", threads=3)
    classes = backend.spec.classes
    assert classes
    z = latents(range(8), backend.spec.latent)
    label = np.arange(8, dtype=np.int64) % classes
    for _, images in backend.infer_each(Batch(z, label) for _ in range(3)):
        np.testing.assert_array_equal(images, backend.infer(z, label))
    pytest.importorskip("openvino")
    other = OpenVinoBackend(path)
    for _, images in other.infer_each(Batch(z, label) for _ in range(3)):
        assert np.abs(images.astype(int) - backend.infer(z, label)).max() <= 9


def test_a_graph_of_a_fixed_batch_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph(batch=4))
    with Generator.load(tmp_path / "g.onnx", provider="cpu", threads=3) as generator:
        images = generator.images(range(30))
    backend = OnnxRuntimeBackend(tmp_path / "g.onnx", "cpu")
    np.testing.assert_array_equal(images[:4], backend.infer(latents(range(4), LATENT)))


def test_a_loaded_graph_stays_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: Path
) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    monkeypatch.chdir(tmp_path)
    with Generator.load("g.onnx", provider="cpu", threads=2) as generator:
        expected = generator.images(range(4), batch=4)
        (tmp_path / "new.onnx").write_bytes((exported / "g.onnx").read_bytes())
        (tmp_path / "new.onnx").replace("g.onnx")
        monkeypatch.chdir(exported)
        np.testing.assert_array_equal(generator.images(range(4), batch=1), expected)


def test_openvino_names_tensors_as_the_contract_does(tmp_path: Path) -> None:
    """Where an operator does nothing a tensor has two names."""
    pytest.importorskip("openvino")
    model = onnx.load_from_string(tiny_graph())
    model.graph.node[-1].output[0] = "before"
    model.graph.node[0].input[0] = "after"
    model.graph.node.insert(0, onnx.helper.make_node("Identity", ["z"], ["after"]))
    model.graph.node.append(onnx.helper.make_node("Identity", ["before"], ["images"]))
    onnx.save(model, tmp_path / "g.onnx")
    with (
        Generator.load(tmp_path / "g.onnx", provider="openvino") as fast,
        Generator.load(tmp_path / "g.onnx", provider="cpu") as plain,
    ):
        difference = fast.images(range(5)).astype(int) - plain.images(range(5))
        assert np.abs(difference).max() <= 2


def test_openvino_in_several_threads(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    with (
        Generator.load(tmp_path / "g.onnx", provider="openvino") as generator,
        ThreadPoolExecutor(4) as pool,
    ):
        expected = generator.images(range(4))
        for images in pool.map(lambda _: generator.images(range(4)), range(200)):
            np.testing.assert_array_equal(images, expected)


def test_the_first_arrays_of_openvino_from_several_threads(tmp_path: Path) -> None:
    """Its bindings deadlock there where nothing has passed an array before."""
    pytest.importorskip("openvino")
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    script = (
        "import sys, threading, numpy\n"
        "from gantool.runtime.backends.quiet import import_core\n"
        "sys.setswitchinterval(1e-6)\n"
        "model = import_core()().compile_model(sys.argv[1], 'CPU')\n"
        "start = threading.Barrier(4)\n"
        "def run(request):\n"
        f"    z = numpy.zeros((1, {LATENT}), numpy.float32)\n"
        "    start.wait()\n"
        "    request.infer({'z': z})['images']\n"
        "requests = [model.create_infer_request() for _ in range(4)]\n"
        "threads = [threading.Thread(target=run, args=(one,)) for one in requests]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", script, tmp_path / "g.onnx"], check=True, timeout=120)


def test_a_signal_after_openvino_is_freed(exported: Path) -> None:
    """Its CPU plugin sets a stack for signal handlers where the CPU has AVX-512: one that is freed is a crash."""
    pytest.importorskip("openvino")
    script = (
        "import gc, signal, sys\n"
        "from gantool import Generator\n"
        "one, two = (Generator.load(sys.argv[1], 'openvino') for _ in range(2))\n"
        "one.close(); del one; gc.collect()\n"
        "two.close(); del two; gc.collect()\n"
        "try: signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt: print('handled')\n"
    )
    command = [sys.executable, "-c", script, str(exported / "g.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_openvino_that_does_not_load(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setitem(sys.modules, "openvino", ModuleType("openvino"))  # without Core
    sys.modules["openvino"].__spec__ = ModuleSpec("openvino", None)
    monkeypatch.setattr(quiet, "_core", quiet._core.__wrapped__)  # not the one of an earlier test
    with pytest.raises(GantoolError, match=r"does not load.*--force-reinstall .*\[openvino\]"):
        Generator.load(exported / "g.onnx", provider="openvino")


def test_batches_are_asked_for_as_they_are_needed(tiny: OnnxRuntimeBackend) -> None:
    tiny._threads = 2
    asked: list[int] = []

    def batches() -> Iterator[Batch]:
        for number in count():
            asked.append(number)
            yield Batch(latents(range(4), LATENT))

    for number, _ in enumerate(islice(tiny.infer_each(batches()), 10)):
        assert len(asked) <= number + 3


def test_a_failure_in_one_part_is_told(tiny: OnnxRuntimeBackend) -> None:
    tiny._threads = 2
    wrong = np.zeros((4, LATENT + 1), np.float32)
    with pytest.raises(GantoolError, match="failed on . images from"):
        list(tiny.infer_each(Batch(z) for z in (latents(range(4), LATENT), wrong, wrong)))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_change_the_images(exported: Path, threads: int) -> None:
    with (
        Generator.load(exported / "g.onnx", threads=threads) as one,
        Generator.load(exported / "g.onnx", provider="cpu") as other,
    ):
        np.testing.assert_array_equal(one.images(range(9)), other.images(range(9)))


def test_threads_are_for_graphs(exported: Path) -> None:
    for file, threads in (("g.onnx", 0), ("g.onnx", 100_000), ("g.rtx.plan", 2)):
        with pytest.raises(UsageError, match="`threads`"):
            Generator.load(exported / file, threads=threads)


def test_a_bound_run_gives_the_same_images() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(tiny_graph(), providers=["CPUExecutionProvider"])
    feeds = {"z": latents(range(5), LATENT)}
    np.testing.assert_array_equal(run_bound(session, feeds, "cpu"), session.run(["images"], feeds)[0])


@pytest.mark.parametrize(
    ("fp16", "says", "never"),
    [
        (True, "export again without --fp16", "weights"),
        (False, "its weights hold NaN", "--fp16"),
        (None, "if it computes in FP16, export again without --fp16", "?"),
    ],
)
def test_nan_names_what_may_have_made_it(fp16: bool | None, says: str, never: str) -> None:
    with pytest.raises(GantoolError, match=says) as caught:
        to_uint8(np.full((1, 3, 2, 2), np.nan, np.float32), fp16)
    assert never not in str(caught.value)
