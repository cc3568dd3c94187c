"""The backend on a stand-in for the driver, in processes of their own; and the real libraries, where they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gantool.runtime.backends.tensorrt.cuda import driver_problem
from gantool.runtime.backends.tensorrt.library import error_logger
from gantool.runtime.backends.tensorrt.runner import TensorRTBackend
from gantool.runtime.errors import EngineMismatchError, GantoolError
from gantool.runtime.generator import Generator
from gantool.runtime.outputs.images import to_uint8
from gantool.runtime.spec import Batch
from helpers.fake_tensorrt import plan_bytes
from helpers.tiny import build_plan, some_z, tiny_graph

TESTS = Path(__file__).parents[1]
STANDIN = TESTS / "helpers/standin"


@pytest.fixture(scope="session")
def standin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Compile the stand-in driver; return the environment of a process that is to find it, and `tensorrt`."""
    pytest.importorskip("cuda.bindings.driver", reason="the real bindings run on the stand-in")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("compiles a stand-in for libcuda.so.1, which needs cc and Linux")
    folder = tmp_path_factory.mktemp("standin")
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wl,-soname,libcuda.so.1"]
    target = folder / "libcuda.so.1"
    subprocess.run([compiler, *flags, "-o", target, STANDIN / "libcuda.c", "-lpthread"], check=True)
    paths = [str(STANDIN / "modules"), str(TESTS), *(path for path in sys.path if path)]
    return {**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": os.pathsep.join(paths)}


def test_backend_on_the_stand_in_driver(standin: dict[str, str]) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        STANDIN / "check_backend.py",
    ]
    result = subprocess.run(
        command, cwd=TESTS.parent, env=standin, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-20000:] + result.stderr[-2000:]
    assert "skipped" not in result.stdout


VERSIONS: dict[str, tuple[int, int, int, int]] = {"tensorrt": (10, 3, 0, 30), "rtx": (1, 7, 1, 116)}


def run_on(environment: dict[str, str], folder: Path, *arguments: str, **more: str) -> tuple[Any, str]:
    """Run gantool in `folder`; return the result, and what the driver says was done wrong or left behind."""
    report = folder / "report"
    env = {**environment, **more, "STANDIN_REPORT": str(report), "GANTOOL_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "gantool", *arguments]
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return result, report.read_text() if report.exists() else "no report"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Return a folder with g.onnx, and g.plan and g.rtx.plan as the stand-ins take them."""
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    for kind, name in (("tensorrt", "g.plan"), ("rtx", "g.rtx.plan")):
        (tmp_path / name).write_bytes(plan_bytes(kind, VERSIONS[kind], graph=tiny_graph()))
    return tmp_path


@pytest.mark.parametrize("kind", ["tensorrt", "rtx"])
@pytest.mark.parametrize("integrated", [False, True])
def test_the_command_line_on_the_stand_in(
    kind: str, integrated: bool, plan: Path, standin: dict[str, str]
) -> None:
    name = "g.plan" if kind == "tensorrt" else "g.rtx.plan"
    flags = ("--seeds", "0-24", "--batch", "7", "--format", "npy")
    more = {"STANDIN_INTEGRATED": "1"} if integrated else {}
    result, report = run_on(standin, plan, "generate", "-e", name, *flags, **more)
    assert (result.returncode, result.stderr, report) == (0, "", "")
    with Generator.load(plan / "g.onnx", provider="cpu") as reference:
        np.testing.assert_array_equal(np.load(plan / "images/images.npy"), reference.images(range(25)))
    assert (plan / "cache/tensorrt-rtx").exists() == (kind == "rtx")


def test_bench_tells_latency_without_copies(plan: Path, standin: dict[str, str]) -> None:
    flags = ("--batch", "1,4,5", "--seconds", "0.05", "--json")
    result, report = run_on(standin, plan, "bench", "g.plan", *flags)
    assert (result.returncode, report) == (0, "")
    assert "g.plan takes batches of 1 to 4: 5 is skipped" in result.stderr
    for row in json.loads(result.stdout)["rows"]:
        assert row["runs_on"] == "TensorRT"
        assert row["compute_ms"]["p50"] > 0


@pytest.mark.parametrize(
    ("fault", "says", "finished"),
    [
        ("cuDevicePrimaryCtxRetain:1", "cannot open a context", 0),
        ("cuMemAlloc:2", "of GPU memory (CUDA_ERROR_OUT_OF_MEMORY): free memory on it", 0),
        ("cuMemHostAlloc:2", "of pinned memory", 0),
        ("cuStreamSynchronize:6:on", "cannot finish its work (CUDA_ERROR_LAUNCH_FAILED)", 20),
        ("cuGraphLaunch:5:on", "cannot launch a graph", 20),
    ],
)
def test_faults_are_one_line_and_keep_what_is_finished(
    fault: str, says: str, finished: int, plan: Path, standin: dict[str, str]
) -> None:
    flags = ("generate", "-e", "g.plan", "--seeds", "0-99", "--batch", "4")
    result, report = run_on(standin, plan, *flags, STANDIN_FAIL=fault)
    assert result.returncode == 1
    assert says in result.stderr
    kept = [f"{finished} of 100 images are in images; --resume makes the rest"] if finished else []
    assert result.stderr.splitlines()[:-1] == kept
    assert report == ""
    images = sorted((plan / "images").iterdir()) if (plan / "images").exists() else []
    assert [path.name for path in images] == [f"seed{seed:04d}.png" for seed in range(len(images))]
    assert len(images) == finished
    with Generator.load(plan / "g.onnx", provider="cpu") as reference:
        for path, image in zip(images, reference.images(range(len(images))), strict=True):
            with Image.open(path) as picture:
                np.testing.assert_array_equal(np.asarray(picture), image)
    result, report = run_on(standin, plan, *flags, "--resume")
    assert (result.returncode, report) == (0, "")
    assert f"100 images of 4×4×3 in images, {len(images)} of them were already there" in result.stdout


def real_driver_problem() -> str | None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="asks for the real driver")
    return driver_problem(driver)


def test_real_rtx_plan_without_a_driver(tmp_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="builds real plans on any machine")
    if real_driver_problem() is None:
        pytest.skip("there is a GPU here")
    path = tmp_path / "g.rtx.plan"
    path.write_bytes(build_plan(trt, tiny_graph(), ("SM86", "SM89")))
    with pytest.raises(EngineMismatchError) as caught:
        TensorRTBackend(path)
    described = f"TensorRT-RTX {trt.__version__} plan for compute capability 8.6, 8.9"
    assert described in str(caught.value)
    assert "NVIDIA driver" in str(caught.value)


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "empty memory buffer"),
    "one byte": (lambda plan: plan[:1], "bufferSize >= minBufferSize failed"),
    "cut in the header": (lambda plan: plan[:16], "bufferSize >= minBufferSize failed"),
    "text": (lambda plan: b"a text " * len(plan), "header.magicTag == kEXPECTED_MAGIC_TAG failed"),
    "the other library": (lambda plan: b"ftrt" + plan[4:], "header.magicTag == kEXPECTED_MAGIC_TAG failed"),
    "cut off": (lambda plan: plan[: len(plan) // 2], "plan.header.size == blobSize failed"),
    "appended": (lambda plan: plan + b"x", "plan.header.size == blobSize failed"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_real_verdicts_on_damaged_plans(damage: str, tmp_path: Path) -> None:
    """The library looks at the container before it looks for a GPU; gantool finds the same before the library."""
    trt = pytest.importorskip("tensorrt_rtx", reason="asks the real library")
    change, verdict = DAMAGE[damage]
    whole = build_plan(trt, tiny_graph(), ("SM86",))
    logger = error_logger(trt)
    runtime = trt.Runtime(logger)
    logger.errors.clear()  # of the driver that is not there
    assert runtime.deserialize_cuda_engine(change(whole)) is None
    assert verdict in logger.errors[0]
    logger.errors.clear()
    (tmp_path / "g.rtx.plan").write_bytes(change(whole))
    with pytest.raises(GantoolError) as caught:
        TensorRTBackend(tmp_path / "g.rtx.plan")
    if damage != "the other library":  # which is a whole plan of TensorRT, by its header
        assert caught.value.exit_code == 1
        assert "NVIDIA driver" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.parametrize("output", ["uint8", "float"])
@pytest.mark.parametrize("module", ["tensorrt_rtx", "tensorrt"])
def test_real_engine_equals_onnx_runtime(module: str, output: str, tmp_path: Path) -> None:
    if (problem := real_driver_problem()) is not None:
        pytest.skip(f"needs a GPU: {problem}")
    trt = pytest.importorskip(module, reason=f"runs {module}")
    onnxruntime = pytest.importorskip("onnxruntime", reason="is the reference")
    graph = tiny_graph(output)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    path = tmp_path / "g.plan"
    path.write_bytes(build_plan(trt, graph))
    try:
        backend = TensorRTBackend(path)
    except EngineMismatchError as error:
        pytest.skip(str(error))  # TensorRT-RTX runs on some GPUs only
    for n in (1, 4, 3):
        z = some_z(n)
        (expected,) = session.run(["images"], {"z": z})
        reference = expected if output == "uint8" else to_uint8(expected)
        difference = np.abs(backend.infer(z).astype(int) - reference.astype(int))
        assert difference.max() <= 1  # a grey level: the order of sums differs
    backend.close()


@pytest.mark.gpu
@pytest.mark.parametrize("module", ["tensorrt_rtx", "tensorrt"])
def test_real_batches_overlap_in_graphs_and_keep_their_kernels(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Graphs, two batches under way, zero copy where the GPU is integrated, and the cache of TensorRT-RTX."""
    if (problem := real_driver_problem()) is not None:
        pytest.skip(f"needs a GPU: {problem}")
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    trt = pytest.importorskip(module, reason=f"runs {module}")
    path = tmp_path / "g.plan"
    path.write_bytes(build_plan(trt, tiny_graph()))
    try:
        backend = TensorRTBackend(path)
    except EngineMismatchError as error:
        pytest.skip(str(error))  # TensorRT-RTX runs on some GPUs only
    one_by_one = [backend.infer(some_z(n)) for n in (4, 3, 4, 4, 2, 4, 4, 4)]
    overlapping = list(backend.infer_each(Batch(some_z(n)) for n in (4, 3, 4, 4, 2, 4, 4, 4)))
    for one, (_, other) in zip(one_by_one, overlapping, strict=True):
        np.testing.assert_array_equal(one, other)
    same = list(backend.infer_each(Batch(some_z(4)) for _ in range(20)))
    for _, images in same:
        np.testing.assert_array_equal(images, one_by_one[0])
    if module == "tensorrt":
        assert any(each.graph is not None for buffers in backend._buffer_sets for each in buffers.contexts)
    assert backend.compute_seconds is not None
    assert 0 < backend.compute_seconds < 1
    backend.close()
    kept = [*(tmp_path / "cache").rglob("*.cache")]
    assert bool(kept) == (module == "tensorrt_rtx")
    again = TensorRTBackend(path)
    np.testing.assert_array_equal(again.infer(some_z(4)), one_by_one[0])
    again.close()
