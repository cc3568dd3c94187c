"""Whatever a user does wrong: one line that says what was found and what to do, the exit code, nothing written."""

from __future__ import annotations

import pickle
import resource
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from safetensors.numpy import save_file

from conftest import run_gantool


@dataclass(frozen=True)
class Case:
    """A command in a folder with an export, a run and damaged files; what it must answer."""

    arguments: str
    code: int
    says: tuple[str, ...]
    id: str = field(kw_only=True)


def make_bad_files(folder: Path) -> None:
    """Fill `folder`, which holds an export and a run, with what users give by mistake."""
    plan = (folder / "g.rtx.plan").read_bytes()
    (folder / "short.rtx.plan").write_bytes(plan[: len(plan) // 2])
    flipped = bytearray(plan)
    flipped[len(plan) // 2] ^= 1
    (folder / "flipped.rtx.plan").write_bytes(flipped)
    shutil.copy(folder / "g.rtx.plan.json", folder / "flipped.rtx.plan.json")
    (folder / "jetson.plan").write_bytes(b"ftrt" + bytes(20) + bytes([10, 3, 0, 30]) + bytes(100))
    (folder / "empty").mkdir()
    (folder / "empty.onnx").touch()
    (folder / "junk.onnx").write_bytes(b"\x08\x08" + b"junk" * 9)
    broken = folder / "broken-images"
    broken.mkdir()
    for index in range(20):
        (broken / f"{index}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Image.new("L", (9, 9)).save(broken / "whole.png")
    with zipfile.ZipFile(folder / "few.zip", "w") as archive:
        archive.write(broken / "whole.png", "../../outside.png")
        archive.write(broken / "whole.png", "inside.png")
    (folder / "pickle.pth").write_bytes(pickle.dumps({"weights": [1, 2]}))
    (folder / "file").write_text("no folder")
    unknown = '{"format": 1, "config": {"architecture": "stylegan3"}}'
    save_file({"w": np.zeros(2, np.float32)}, folder / "unknown.safetensors", {"gantool": unknown})
    external = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    external.data_location = TensorProto.EXTERNAL
    external.external_data.add(key="location", value="../../../etc/passwd")
    save_graph(folder / "external.onnx", [helper.make_node("Add", ["z", "w"], ["images"])], [external])
    save_graph(folder / "other.onnx", [helper.make_node("Relu", ["z"], ["images"])], [])


def save_graph(path: Path, nodes: list[Any], weights: list[TensorProto]) -> None:
    """Save a graph from z [N, 4] to images [N, 4], which is not a generator."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("z", "images")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    path.write_bytes(
        helper.make_model(
            graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
        ).SerializeToString()
    )


GENERATE = [
    Case("missing.onnx", 1, ("missing.onnx does not exist",), id="missing-engine"),
    Case("empty", 1, ("empty is a folder",), id="folder-as-engine"),
    Case("empty.onnx", 1, ("empty.onnx is empty",), id="empty-engine"),
    Case("junk.onnx", 1, ("junk.onnx is cut short or damaged", "copy it again"), id="junk-graph"),
    Case("short.rtx.plan", 1, ("is cut off", "copy it again"), id="truncated-plan"),
    Case("flipped.rtx.plan", 1, ("SHA-256", "copy both files again"), id="flipped-plan"),
    Case("jetson.plan", 4, ("TensorRT 10.3.0.30 plan", "no NVIDIA driver"), id="plan-of-the-other-library"),
    Case(
        "g.rtx.plan",
        4,
        ("TensorRT-RTX 1.", "8.6", "no NVIDIA driver", "gantool generate --engine g.fp16.onnx"),
        id="plan-without-a-driver",
    ),
    Case(
        "other.onnx",
        1,
        ("other.onnx is not a gantool generator", "expected z float32 [N, latent]"),
        id="other-graph",
    ),
    Case("external.onnx", 1, ("external.onnx keeps weights in another file",), id="external-data"),
    Case("pickle.pth", 1, ("pickle.pth is a",), id="pickle-as-engine"),
    Case(
        "runs/00000-fashion-mnist-dcgan32/generator.safetensors",
        1,
        ("export it first: gantool export runs/",),
        id="checkpoint-as-engine",
    ),
    Case("g.onnx --seeds 5-2", 2, ("'5-2' runs backwards", "2-5"), id="seeds-backwards"),
    Case("g.onnx --seeds a", 2, ("'a' is not a seed", "0,1,4-6"), id="seeds-letters"),
    Case("g.onnx --seeds=-1", 2, ("'-1' is not a seed",), id="seeds-negative"),
    Case("g.onnx --batch 0", 2, ("batch 0",), id="batch-0"),
    Case("g.onnx --format gif", 2, ("--format gif: choose png, webp, jpg, tiff, npy, tar, -",), id="format"),
    Case("g.onnx --format jpg --level 3", 2, ("--level 3: JPEG has --quality",), id="level-of-jpg"),
    Case("g.onnx --format webp --level 7", 2, ("--level 7: webp has 0 to 6",), id="level-of-webp"),
    Case("g.onnx --quality 80", 2, ("--quality 80: png is lossless; see --level",), id="quality-of-png"),
    Case("g.onnx --format npy --level 1", 2, ("npy holds plain pixels",), id="level-of-npy"),
    Case("g.onnx --format tar --shard-size 0", 2, ("--shard-size 0",), id="shard-size"),
    Case("g.onnx --shard 0/4", 2, ("--shard 0/4", "counted from 1; add 1"), id="shard"),
    Case("g.onnx --threads 0", 2, ("--threads 0",), id="threads"),
    Case("g.onnx --out - --format png", 2, ("--out - writes raw frames",), id="stdout-and-files"),
    Case("g.onnx --out - --grid 2x2", 2, ("--grid does not work with raw frames",), id="stdout-and-grid"),
    Case("g.onnx --out - --resume", 2, ("--resume is for files",), id="resume-raw"),
    Case("g.onnx --grid 8", 2, ("--grid 8: write columns by rows, as in 8x8",), id="grid"),
    Case(f"g.onnx --seeds {'1' * 5000}", 2, ("is not a seed",), id="seeds-endless"),
    Case("g.rtx.plan --provider cpu", 2, ("is for ONNX graphs",), id="provider-for-a-plan"),
    Case("g.onnx --trunc nan", 2, ("--trunc nan",), id="trunc-nan"),
    Case("g.onnx --out file", 1, ("File exists: file", "choose another folder"), id="file-as-folder"),
    Case(
        "g.onnx --out file/deeper",
        1,
        ("Not a directory: file/deeper", "choose another folder"),
        id="unwritable-folder",
    ),
    Case("g.onnx --out /proc/images", 1, ("/proc/images",), id="read-only-file-system"),
]
EXPORT = [
    Case(
        "missing.safetensors",
        1,
        ("missing.safetensors does not exist", "gantool train"),
        id="missing-checkpoint",
    ),
    Case("missing.onnx", 1, ("missing.onnx does not exist",), id="missing-graph"),
    Case(
        "pickle.pth",
        1,
        ("pickle.pth is a", "expected the generator.safetensors of a run"),
        id="pickle-as-checkpoint",
    ),
    Case("unknown.safetensors", 1, ("cannot build",), id="unknown-architecture"),
    Case(
        "empty",
        1,
        ("empty is a folder; expected the generator.safetensors of a run",),
        id="folder-as-checkpoint",
    ),
    Case(
        "g.rtx.plan",
        1,
        ("g.rtx.plan is a TensorRT-RTX plan", "gantool inspect g.rtx.plan"),
        id="plan-as-checkpoint",
    ),
    Case("-o .", 2, ("give a name for the files", "-o g"), id="base-without-a-name"),
    Case("other.onnx --engine rtx", 1, ("other.onnx is not a generator",), id="other-graph-to-build"),
    Case("junk.onnx --engine rtx", 1, ("junk.onnx is cut short or damaged",), id="junk-graph-to-build"),
    Case(
        "external.onnx --engine rtx",
        1,
        ("external.onnx names a file for its weights",),
        id="external-data-to-build",
    ),
    Case("g.onnx --engine none", 2, ("nothing to do",), id="nothing-to-do"),
    Case("g.fp16.onnx --fp16", 1, ("is not in FP32",), id="fp16-twice"),
    Case("--engine cuda", 2, ("choose auto, tensorrt, rtx, none",), id="engine"),
    Case("--workspace 2", 2, ("2GiB",), id="workspace-without-unit"),
    Case("--max-batch 0", 2, ("must rise",), id="max-batch-0"),
    Case("--opset 12", 2, ("choose 17 to 23",), id="opset"),
    Case("--lowering faster", 2, ("choose auto, none, subpixel, phases",), id="lowering"),
    Case("--engine rtx --sm 99", 2, ("builds for 75, 80",), id="sm"),
    Case("-o file/g", 2, ("file is a file",), id="unwritable-base"),
]
TRAIN = [
    Case("--data missing", 1, ("missing", "fashion-mnist"), id="missing-data"),
    Case("--data empty", 1, ("empty", "no images"), id="empty-folder"),
    Case("--data broken-images", 1, ("1 readable", "damaged"), id="broken-images"),
    Case("--data few.zip", 1, ("outside",), id="zip-pointing-outside"),
    Case("--data file", 1, ("not a folder, and not a file that is read",), id="text-file-as-data"),
    Case("--size 50", 2, ("dcgan cannot make 50×50", "the nearest sizes are 44, 48, 52, 56"), id="size"),
    Case(
        "--preset dcgan5-32 --size 60",
        2,
        ("dcgan5 cannot make 60×60", "the nearest sizes are 48, 56, 64, 72"),
        id="size-dcgan5",
    ),
    Case("--preset stylegan", 2, ("choose dcgan16, dcgan28, dcgan32",), id="preset"),
    Case("--batch 0", 2, ("--batch 0",), id="train-batch-0"),
    Case("--lr nan", 2, ("--lr nan",), id="lr-nan"),
    Case("--ema-kimg nan", 2, ("--ema-kimg nan",), id="ema-nan"),
    Case("--batch 100000000000", 2, ("--batch 100000000000",), id="batch-of-a-life"),
    Case("--optimizer lion", 2, ("choose adam, sgd",), id="optimizer"),
    Case("--device quantum", 2, ("--device quantum: choose auto, cpu",), id="device"),
    Case("--data=", 2, ("an argument is empty",), id="empty-argument"),
    Case("--outdir file --no-autotune", 1, ("a file is in the way",), id="outdir-is-a-file"),
    Case("--resume latest --lr 1", 2, ("--lr", "00000-fashion-mnist-dcgan32"), id="resume-with-other-flags"),
    Case("--resume latest", 2, ("already has",), id="resume-of-a-finished-run"),
    Case("--resume empty", 1, ("training_state.pt",), id="resume-of-no-run"),
    Case("--kimg x", 2, ("--kimg", "'x' is not a valid"), id="not-a-number"),
    Case("--kmig 5", 2, ("--kimg",), id="misspelt-flag"),
]


@pytest.fixture(scope="module")
def bad(exported: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad") / "work"
    shutil.copytree(exported, folder)
    shutil.copytree(trained / "runs", folder / "runs")
    make_bad_files(folder)
    return folder


def snapshot(folder: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_size) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("command", "case"),
    [
        pytest.param(command, case, id=case.id)
        for command, cases in (("generate --engine", GENERATE), ("export", EXPORT), ("train", TRAIN))
        for case in cases
    ],
)
def test_bad_input(bad: Path, command: str, case: Case) -> None:
    before = snapshot(bad)
    result = run_gantool(*command.split(), *case.arguments.split(), cwd=bad)
    assert result.returncode == case.code, result.stderr
    for text in case.says:
        assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    if result.stderr.startswith(
        "gantool:"
    ):  # ours, and not a usage error of typer's, which has two lines more
        assert result.stderr.count("\n") == 1
    assert snapshot(bad) == before


@pytest.mark.parametrize(
    "command",
    [
        "generate --engine g.onnx --format npy --out new",
        "export --engine none -o new/g",
        "train --width 8 --kimg 0.1 --no-autotune --outdir new",
    ],
)
def test_a_full_disk_leaves_no_half_file(bad: Path, command: str) -> None:
    """A limit on the size of files stands in for a full disk: writing fails half way in the same call."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        result = run_gantool(*command.split(), cwd=bad)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.returncode == 1, result.stderr
    assert "File too large" in result.stderr
    assert "Traceback" not in result.stderr
    left = {path.name for path in (bad / "new").rglob("*") if path.is_file()}
    assert left <= {"training_options.json", "log.txt", "stats.jsonl"}
    shutil.rmtree(bad / "new")


def test_onnx_that_is_a_generator_of_other_tensors_names_them(bad: Path) -> None:
    model = onnx.load(bad / "g.onnx")
    model.graph.input[0].name = "noise"
    for node in model.graph.node:
        node.input[:] = ["noise" if name == "z" else name for name in node.input]
    onnx.save(model, bad / "renamed.onnx")
    result = run_gantool("generate", "--engine", "renamed.onnx", cwd=bad)
    assert result.returncode == 1
    assert "noise float32 [N, 100]" in result.stderr
    (bad / "renamed.onnx").unlink()
