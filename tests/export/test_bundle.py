"""Bundles: made here, opened as a device would, and refused where anything in them is not as it was written."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import run_gantool
from gantool.export.artifact import Graph
from gantool.export.packaging import bundle
from gantool.runtime import GantoolError, Generator
from helpers.networks import CLASSES, full_graph

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def carried(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of the tiny generator in FP16."""
    target = tmp_path_factory.mktemp("bundle") / "g.tar"
    with Generator.load(exported / "g.onnx", provider="cpu") as full:
        bundle.write(target, Graph.load(exported / "g.fp16.onnx"), full, None)
    return target


def members_of(path: Path) -> Members:
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def pack(path: Path, members: Members, /, **changed: Any) -> Path:
    """Write a tar of `members` whose manifest is right, but for the keys in `changed`."""
    manifest = json.loads(members["bundle.json"])
    manifest["members"] = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in members.items()
        if name != "bundle.json"
    }
    members = {**members, "bundle.json": json.dumps({**manifest, **changed}).encode()}
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_what_is_in_it(carried: Path, exported: Path) -> None:
    members = members_of(carried)
    assert list(members) == [
        "bundle.json",
        "graph.onnx",
        "recipe.json",
        *(f"golden/seed{seed:04d}.png" for seed in range(10)),
    ]
    assert members["graph.onnx"] == (exported / "g.fp16.onnx").read_bytes()
    manifest = json.loads(members["bundle.json"])
    for name, entry in manifest["members"].items():
        assert entry == {"size": len(members[name]), "sha256": hashlib.sha256(members[name]).hexdigest()}
    assert (manifest["format"], manifest["precision"], manifest["opset"]) == (1, "fp16", 17)
    assert (manifest["seeds"], manifest["labels"], manifest["min_psnr"]) == (list(range(10)), None, 40.0)
    assert manifest["metadata"]["image"] == [32, 32, 1]
    with Generator.load(exported / "g.onnx") as generator:
        images = generator.images(range(10))
    for image, name in zip(images, sorted(name for name in members if name.endswith(".png")), strict=True):
        assert (np.asarray(Image.open(io.BytesIO(members[name]))) == image[:, :, 0]).all()


def test_the_recipe_can_be_used_again(carried: Path, work: Path) -> None:
    (work / "recipe.json").write_bytes(members_of(carried)["recipe.json"])
    (work / "g.fp16.onnx").rename(work / "before.onnx")
    run_gantool("export", "g.onnx", "--recipe", "recipe.json", "--engine", "none", cwd=work, check=True)
    assert (work / "g.fp16.onnx").read_bytes() == (work / "before.onnx").read_bytes()


def test_the_same_export_gives_the_same_bytes(carried: Path, work: Path) -> None:
    flags = ("--recipe", "g.fp16.onnx", "--engine", "none", "--bundle", "again.tar")
    result = run_gantool("export", "g.onnx", *flags, cwd=work, check=True)
    assert (work / "again.tar").read_bytes() == carried.read_bytes()
    assert "gantool export again.tar" in result.stdout


def test_on_a_device_it_needs_no_torch_and_no_onnx(carried: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    (tmp_path / "g.tar").write_bytes(carried.read_bytes())
    (tmp_path / "blocked").mkdir()
    for name in ("torch", "onnx", "onnxruntime", "onnx_ir", "onnxscript", "safetensors"):
        (tmp_path / "blocked" / f"{name}.py").write_text("raise ImportError('blocked')")
    path = os.pathsep.join([str(tmp_path / "blocked"), os.environ.get("PYTHONPATH", "")])
    result = run_gantool(
        "export",
        "g.tar",
        "--engine",
        "rtx",
        "--max-batch",
        "8",
        cwd=tmp_path,
        env={"PYTHONPATH": path},
        check=True,
    )
    assert (tmp_path / "g.fp16.onnx").read_bytes() == members_of(carried)["graph.onnx"]
    assert json.loads((tmp_path / "g.rtx.plan.json").read_text())["batch"]["max"] == 8
    # with a GPU they are run, without one that is said
    assert ("the golden seeds were not run: g.rtx.plan" in result.stderr) or (
        "golden images" in result.stderr
    )
    assert ".gantool-" not in result.stderr


def test_without_an_engine_the_graph_is_proved(carried: Path, tmp_path: Path) -> None:
    flags = ("--engine", "none", "-o", "faces")
    result = run_gantool("export", carried, *flags, cwd=tmp_path, check=True)
    assert "faces.fp16.onnx against the golden images of g.tar" in result.stderr
    assert "no engine was built" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["faces.fp16.onnx"]


def test_other_images_than_the_golden_ones(carried: Path, tmp_path: Path) -> None:
    """One of ten images is another one: exit 3, nothing is kept."""
    members = members_of(carried)
    members["golden/seed0007.png"] = members["golden/seed0008.png"]
    pack(tmp_path / "g.tar", members)
    result = run_gantool("export", "g.tar", "--engine", "none", cwd=tmp_path)
    assert result.returncode == 3
    assert "expected at least 40 dB on each of 10 seeds" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["g.tar"]


def test_golden_images_of_another_size(carried: Path, tmp_path: Path) -> None:
    members = members_of(carried)
    for name in bundle.GOLDEN:
        file = io.BytesIO()
        Image.new("RGB", (16, 16)).save(file, "png")
        members[name] = file.getvalue()
    pack(tmp_path / "g.tar", members)
    result = run_gantool("export", "g.tar", "--engine", "none", cwd=tmp_path)
    assert result.returncode == 3
    assert "its images are [10, 32, 32, 1], expected [10, 16, 16, 3]" in result.stderr


def test_a_conditional_generator(tmp_path: Path) -> None:
    onnx.save(full_graph("conditional")[0], tmp_path / "c.onnx")
    flags = ("--engine", "none", "--bundle", "c.tar", "-o", "made/c")
    run_gantool("export", "c.onnx", *flags, cwd=tmp_path, check=True)
    manifest = json.loads(members_of(tmp_path / "c.tar")["bundle.json"])
    assert manifest["labels"] == [seed % CLASSES for seed in range(10)]
    assert (manifest["precision"], manifest["min_psnr"]) == ("fp32", 50.0)
    assert "recipe.json" not in manifest["members"]
    result = run_gantool("export", "c.tar", "--engine", "none", "-o", "d", cwd=tmp_path, check=True)
    assert "d.onnx against the golden images of c.tar: equal" in result.stderr


def test_the_psnr_of_the_export_goes_along(exported: Path, tmp_path: Path) -> None:
    with Generator.load(exported / "g.onnx", provider="cpu") as full:
        bundle.write(tmp_path / "g.tar", Graph.load(exported / "g.fp16.onnx"), full, 33.0)
    assert bundle.read(tmp_path / "g.tar").min_psnr == 33


@pytest.mark.parametrize(
    "flags",
    [
        ("--fp16",),
        ("--opset", "18"),
        ("--output", "float"),
        ("--lowering", "dla"),
        ("--bundle", "h.tar"),
        ("--classes", "3"),
    ],
)
def test_flags_that_the_bundle_has_settled(carried: Path, tmp_path: Path, flags: tuple[str, ...]) -> None:
    result = run_gantool("export", carried, *flags, cwd=tmp_path)
    assert result.returncode == 2
    assert "holds a finished graph" in result.stderr


def test_a_bundle_is_not_weights(carried: Path, tmp_path: Path) -> None:
    result = run_gantool("export", carried, "--from", "pytorch-dcgan", cwd=tmp_path)
    assert result.returncode == 1
    assert "is a bundle of gantool; expected weights" in result.stderr


@pytest.mark.parametrize("flag", ["--strip-weights", "--version-compatible"])
def test_plans_that_cannot_be_proved(carried: Path, tmp_path: Path, flag: str) -> None:
    """Whatever the library thinks of the flag: TensorRT-RTX refuses it first, with a reason of its own."""
    result = run_gantool("export", carried, flag, "--engine", "none", cwd=tmp_path)
    assert result.returncode == 2
    assert not list(tmp_path.iterdir())


def test_a_graph_in_fp16_makes_no_golden_images(work: Path) -> None:
    result = run_gantool("export", "g.fp16.onnx", "--bundle", "h.tar", "--engine", "none", cwd=work)
    assert result.returncode == 2
    assert "--recipe g.fp16.onnx" in result.stderr
    result = run_gantool("export", "g.onnx", "--bundle", "h", "--engine", "none", cwd=work)
    assert result.returncode == 2
    assert "ends in .tar" in result.stderr


def renamed(name: str) -> Callable[[Members], Members]:
    return lambda members: {**members, name: b"x"}


def without(name: str) -> Callable[[Members], Members]:
    return lambda members: {key: data for key, data in members.items() if key != name}


def huge_png(members: Members) -> Members:
    file = io.BytesIO()
    Image.new("L", (5000, 10)).save(file, "png")
    return {**members, "golden/seed0000.png": file.getvalue()}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (renamed("../escaped"), "'../escaped'"),
        (renamed("/tmp/absolute"), "'/tmp/absolute'"),
        (renamed("golden/seed0010.png"), "'golden/seed0010.png'"),
        (without("golden/seed0003.png"), "golden/seed0003.png is missing"),
        (without("graph.onnx"), "graph.onnx is missing"),
        (
            lambda members: {**members, "golden/seed0001.png": b"\x89PNG\r\n\x1a\n"},
            "golden/seed0001.png is no",
        ),
        (huge_png, "golden/seed0000.png is not a valid PNG"),
    ],
)
def test_members_that_do_not_belong(
    carried: Path, tmp_path: Path, change: Callable[[Members], Members], says: str
) -> None:
    path = pack(tmp_path / "g.tar", change(members_of(carried)))
    with pytest.raises(GantoolError, match=says):
        bundle.read(path)
    assert [path.name for path in tmp_path.iterdir()] == ["g.tar"]


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "1"},
        {"precision": "fp8"},
        {"min_psnr": -1.0},
        {"min_psnr": float("nan")},
        {"members": []},
        {"members": {}},
        {"members": {"graph.onnx": None}},
    ],
)
def test_manifests_that_do_not_fit(carried: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(GantoolError, match="is not a complete bundle"):
        bundle.read(pack(tmp_path / "g.tar", members_of(carried), **changed))


def test_a_later_format_asks_for_a_newer_gantool(carried: Path, tmp_path: Path) -> None:
    with pytest.raises(GantoolError, match="install a newer one"):
        bundle.read(pack(tmp_path / "g.tar", members_of(carried), format=2))


def test_a_graph_that_is_none(carried: Path, tmp_path: Path) -> None:
    pack(tmp_path / "g.tar", {**members_of(carried), "graph.onnx": b"\x08\x08"})
    result = run_gantool("export", "g.tar", "--engine", "none", cwd=tmp_path)
    assert result.returncode == 1
    assert "does not hold a graph of gantool" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["g.tar"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "g.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("graph.onnx")
        info.type, info.linkname = kind, "/etc/hostname"
        archive.addfile(info)
    with pytest.raises(GantoolError, match=r"it holds 'graph.onnx' \(type"):
        bundle.read(tmp_path / "g.tar")


def test_sizes_are_bounded_before_they_are_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("bundle.json")
    info.size = 2**32
    (tmp_path / "g.tar").write_bytes(info.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(GantoolError, match="has 4294967296 bytes by its header"):
        bundle.read(tmp_path / "g.tar")


def test_a_member_that_comes_twice(carried: Path, tmp_path: Path) -> None:
    whole = carried.read_bytes()
    first = whole[: 512 + 512 * -(-len(members_of(carried)["bundle.json"]) // 512)]
    (tmp_path / "g.tar").write_bytes(first + whole)
    with pytest.raises(GantoolError, match="'bundle.json'"):
        bundle.read(tmp_path / "g.tar")


@given(data=st.data())
def test_damage_anywhere_is_refused_or_harmless(
    carried: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(carried.read_bytes())
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del whole[position + 1 :]
    path = tmp_path_factory.getbasetemp() / "damaged.tar"
    path.write_bytes(whole)
    try:
        opened = bundle.read(path)
    except GantoolError:
        return
    assert opened.graph == members_of(carried)["graph.onnx"]


@given(damage=st.binary(max_size=400))
def test_an_image_of_any_bytes(
    carried: Path, tmp_path_factory: pytest.TempPathFactory, damage: bytes
) -> None:
    """The hashes are of no help against whoever writes the manifest."""
    path = tmp_path_factory.getbasetemp() / "hostile.tar"
    image = members_of(carried)["golden/seed0000.png"]
    cut = len(damage) % len(image)
    pack(path, {**members_of(carried), "golden/seed0000.png": image[:cut] + damage})
    try:
        opened = bundle.read(path)
    except GantoolError:
        return
    assert opened.golden.shape == (10, 32, 32, 1)
