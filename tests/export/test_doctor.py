"""doctor and its self-test, on real files; machines that are not here are told by their files and answers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from conftest import run_gantool
from gantool.export.artifact import Graph
from gantool.export.doctor import selftest
from gantool.export.doctor import system_info as machine
from gantool.export.packaging import bundle
from gantool.export.precision.psnr import compare
from gantool.runtime.errors import pip_install
from gantool.runtime.outputs.images import grid
from helpers import golden
from helpers.networks import full_graph
from helpers.pages import Report


def test_doctor_says_what_runs_here_and_what_would(work: Path, checkpoint: Path) -> None:
    shutil.copy(checkpoint, work / "generator.safetensors")
    run_gantool("export", "g.onnx", "--bundle", "b.tar", "--engine", "none", cwd=work, check=True)
    (work / "cut.plan").write_bytes((work / "g.rtx.plan").read_bytes()[:-10])
    (work / "other.tar").write_bytes(b"no bundle")
    found = json.loads(run_gantool("doctor", "--json", cwd=work, check=True).stdout)
    assert found["packages"]["gantool"]
    assert found["providers"]["cpu"] == "starts"
    assert found["builders"]["TensorRT-RTX"].endswith("builds here")
    rows = {row["file"]: row for row in found["files"]}
    assert rows["g.fp16.onnx"] == {
        "file": "g.fp16.onnx",
        "runs": True,
        "why": "",
        "command": "gantool generate --engine g.fp16.onnx",
    }
    assert rows["b.tar"]["command"] == "gantool export b.tar"
    assert rows["generator.safetensors"]["command"] == "gantool export generator.safetensors"
    assert "is cut off" in rows["cut.plan"]["why"]
    assert "other.tar" not in rows
    for name, row in rows.items():  # each command is one that works here
        if name != "cut.plan":
            run_gantool(*row["command"].split()[1:], *_short(row["command"]), cwd=work, check=True)
    if not rows["g.rtx.plan"]["runs"]:  # no GPU
        assert "no NVIDIA driver" in rows["g.rtx.plan"]["why"]
        assert rows["g.rtx.plan"]["command"] == "gantool generate --engine g.fp16.onnx"


def _short(command: str) -> list[str]:
    return ["--seeds", "0"] if " generate " in command else ["--engine", "none", "-o", "made"]


def test_doctor_needs_none_of_the_extras(work: Path) -> None:
    absent = "torch onnx onnx_ir onnxruntime openvino tensorrt tensorrt_rtx cuda safetensors"
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({absent!r}.split()))\n"
        "import json\nfrom pathlib import Path\nfrom gantool.export.doctor.report import doctor\n"
        "print(json.dumps(doctor(Path()).to_json()))"
    )
    import subprocess

    result = subprocess.run(
        [sys.executable, "-c", code], cwd=work, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    rows = {row["file"]: row for row in json.loads(result.stdout)["files"]}
    assert rows["g.onnx"]["command"] == pip_install("cpu")
    assert rows["g.rtx.plan"]["command"] == pip_install("rtx")


def test_selftest_passes_and_writes_a_report(tmp_path: Path) -> None:
    result = run_gantool("doctor", "--selftest", "--html", "d.html", cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    report = json.loads((tmp_path / "gantool-doctor.json").read_text())
    outcomes = {(one["way"], one["generator"]): one["outcome"] for one in report["selftest"]}
    for name in selftest.GENERATORS:
        assert outcomes["onnxruntime-cpu", name] == "passed"
        assert outcomes["openvino", name] == "passed"
        assert outcomes["rtx", name] in ("passed", "built only")
    assert "onnxruntime-cpu       int8         passed" in result.stdout
    page = Report.read(tmp_path / "d.html")
    rows = [(row["library"], row["generator"], row["detail"]) for row in page.rows("Self-test")]
    assert rows == [(one["way"], one["generator"], one["detail"]) for one in report["selftest"]]
    assert "✓ The self-test passed" in page.text
    pictures = page.pictures()
    for name in selftest.GENERATORS:
        images = selftest.golden(name).golden
        strip = pictures[f"golden images of {name}"]
        assert (strip == grid(images, 10).reshape(strip.shape)).all()
        assert pictures[f"{name} by openvino"].shape == strip.shape
        assert [
            each for each in pictures if each.startswith(f"{name} by onnxruntime-cpu, difference: at most ")
        ]
    facts = dict(row for row in page.tables["Machine and versions"] if len(row) == 2)
    assert facts["system"] == report["system"]
    assert facts["gantool"] == report["packages"]["gantool"]


def test_the_report_lists_the_files_and_says_that_the_selftest_did_not_run(work: Path) -> None:
    (work / "<b>.onnx").write_bytes((work / "g.onnx").read_bytes())
    result = run_gantool("doctor", "--json", "--html", "d.html", cwd=work, check=True)
    page = Report.read(work / "d.html")
    found = {row["file"]: row for row in page.rows("Files of this folder")}
    for row in json.loads(result.stdout)["files"]:
        assert found[row["file"]]["next"] == row["command"]
        assert found[row["file"]]["result"] == ("✓ runs here" if row["runs"] else row["why"])
    assert "<b>.onnx" in found
    assert "The self-test did not run" in page.text


def test_selftest_tells_wrong_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "golden").mkdir()
    for name in ("dcgan16", "dcgan32"):
        onnx.save(full_graph(name)[0], tmp_path / f"{name}.onnx")
    for name, other in (("fp32", "dcgan32"), ("fp16", "dcgan16")):
        full = Graph.load(tmp_path / f"{other}.onnx").generator()
        bundle.write(tmp_path / f"golden/{name}.tar", Graph.load(tmp_path / "dcgan16.onnx"), full, None)
    monkeypatch.setattr(selftest, "files", lambda _: tmp_path)
    assert selftest.check("onnxruntime-cpu", "fp16").outcome == "passed"
    wrong = selftest.check("onnxruntime-cpu", "fp32")
    assert wrong.outcome == "failed"
    assert "golden ones (10, 32, 32, 1)" in wrong.detail


def test_selftest_outlives_a_library_that_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text(
        """#!/bin/sh
echo '{"way": "rtx", "generator": "fp32", "outcome": "passed", "detail": ""}'
echo "the last words" >&2
kill -SEGV $$
"""
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    passed, failed = selftest.in_a_process("rtx", ("fp32", "fp16"))
    assert passed.outcome == "passed"
    assert (failed.generator, failed.outcome) == ("fp16", "failed")
    assert failed.detail == "crashed with signal 11; the last words"


def test_golden_bundles_are_what_the_export_makes(tmp_path: Path) -> None:
    golden.write(tmp_path)
    for name in selftest.GENERATORS:
        made = bundle.read(tmp_path / f"{name}.tar")
        kept = bundle.read(Path(golden.__file__).parents[2] / f"export/doctor/golden/{name}.tar")
        assert (made.precision, made.min_psnr) == (kept.precision, kept.min_psnr)
        assert compare(made.golden, kept.golden).max_difference <= 1
        nodes, kept_nodes = (
            [node.op_type for node in onnx.load_from_string(one.graph).graph.node] for one in (made, kept)
        )
        assert nodes == kept_nodes
        assert kept.golden.std(0).mean() > 10  # grey levels: seeds differ, or nothing is proved


@pytest.mark.parametrize(
    ("release", "l4t", "jetpack"),
    [
        ("# R36 (release), REVISION: 3.0, GCID: 1, BOARD: generic", "36.3.0", "6.0"),
        ("# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic", "36.4.3", "6.1 or 6.2"),
        ("# R38 (release), REVISION: 2.0, GCID: 1, BOARD: generic", "38.2.0", "7.0"),
        ("# R99 (release), REVISION: 1.0, GCID: 1, BOARD: generic", "99.1.0", "unknown"),
    ],
)
def test_a_jetson_is_told_by_its_files(tmp_path: Path, release: str, l4t: str, jetpack: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(release)
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano\0")
    found = machine.jetson(tmp_path)["jetson"]
    assert (found["model"], found["L4T"], found["JetPack"]) == ("NVIDIA Jetson Orin Nano", l4t, jetpack)
    assert machine.jetson(tmp_path / "elsewhere") == {}


def test_a_gpu_is_described_by_names_that_the_driver_has() -> None:
    from cuda.bindings import driver

    class Strict(SimpleNamespace):
        """Answers only for names that the real bindings have."""

        def __init__(self, **answers: object) -> None:
            assert not [name for name in answers if not hasattr(driver, name)]
            super().__init__(**answers)

    kind = driver.CUdevice_attribute
    answers = {
        kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: 8,
        kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: 7,
        kind.CU_DEVICE_ATTRIBUTE_INTEGRATED: 1,
    }
    fake = Strict(
        CUdevice_attribute=kind,
        cuDriverGetVersion=lambda: (0, 12060),
        cuDeviceGetCount=lambda: (0, 1),
        cuDeviceGet=lambda index: (0, index),
        cuDeviceGetName=lambda size, _: (0, b"Orin".ljust(size, b"\0")),
        cuDeviceGetAttribute=lambda name, _: (0, answers[name]),
        cuDeviceTotalMem=lambda _: (0, 8 << 30),
    )
    assert machine.describe_gpus(fake) == {
        "CUDA of the driver": "12.6",
        "GPU 0": "Orin, compute capability 8.7, 8.0 GiB, integrated",
    }
