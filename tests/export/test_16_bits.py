"""Grey images of 16 bits: the uint16 graph, its engine of floats, and the files that hold them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from conftest import run_gantool
from gantool.export.precision.psnr import compare
from gantool.export.verify import verify
from gantool.models.sampling import float_images, seed_inputs
from gantool.runtime import Generator
from gantool.runtime.artifacts.onnx import read_metadata
from gantool.runtime.artifacts.sidecar import read_sidecar
from gantool.runtime.outputs.images import eight_bits, to_levels, to_uint8
from helpers.networks import NETWORKS, lived_in
from helpers.pages import Report

SEEDS = range(12)
NETWORK = "dcgan16"  # grey


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint and what `gantool export --output uint16 --fp16` makes of it."""
    from gantool.models import save_checkpoint

    folder = tmp_path_factory.mktemp("deep")
    save_checkpoint(folder / "generator.safetensors", lived_in(NETWORKS[NETWORK]), 1000, "shapes")
    engine = "rtx" if _has_rtx() else "none"
    run_gantool(
        *("export", "generator.safetensors", "--output", "uint16", "--fp16", "--engine", engine),
        *("--bundle", "b.tar", "--triton", "repo/deep"),
        cwd=folder,
        check=True,
    )
    return folder


def _has_rtx() -> bool:
    try:
        import tensorrt_rtx  # noqa: F401
    except ImportError:
        return False
    return True


def expected(bits: int) -> np.ndarray:
    """Return the images of PyTorch."""
    network = lived_in(NETWORKS[NETWORK])
    inputs = seed_inputs(SEEDS, network.config.latent, network.config.distribution)
    return to_levels(float_images(network, inputs), bits)


def test_rounding_uses_the_whole_range() -> None:
    ends = np.array([-1.5, -1, -1 + 1 / 65535, 0, 1, 2], np.float32).reshape(1, 1, 1, 6)
    assert to_levels(ends, 16).dtype == np.uint16
    assert to_levels(ends, 16).ravel().tolist() == [0, 0, 1, 32768, 65535, 65535]
    assert to_levels(ends, 8).ravel().tolist() == to_uint8(ends).ravel().tolist() == [0, 0, 0, 128, 255, 255]
    levels = np.arange(65536, dtype=np.uint16)
    assert (np.abs(eight_bits(levels).astype(float) - levels / 257) <= 0.5).all()


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_graph_makes_levels_of_16_bits(made: Path, provider: str) -> None:
    if provider == "openvino":
        pytest.importorskip("openvino")
    with Generator.load(made / "g.onnx", provider) as generator:
        assert (generator.spec.bits, generator.spec.dtype) == (16, "uint16")
        assert generator.spec.size == "16×16×1 in 16 bits"
        images = generator.images(SEEDS)
        assert generator.images([]).dtype == np.uint16
    assert images.dtype == np.uint16
    close = compare(expected(16), images)
    assert close.max_difference <= 16 or (provider == "openvino" and close.psnr > 40)  # it may use BF16
    assert (images % 257 != 0).any()  # more than levels of 8 bits
    assert read_metadata(made / "g.onnx").bits == 16


def test_the_gate_measures_in_16_bits(made: Path) -> None:
    """The noise of FP16 is under a level of 8 bits, and many of 16."""
    listed = json.loads(run_gantool("inspect", "g.fp16.onnx", "--json", cwd=made, check=True).stdout)
    assert 5 < listed["parity"]["max_difference"] < 1000
    assert 50 < listed["parity"]["psnr"] < 90


def test_an_engine_makes_floats_that_the_runtime_rounds(made: Path) -> None:
    if not _has_rtx():
        pytest.skip("builds an engine")
    sidecar = read_sidecar(made / "g.rtx.plan")
    assert sidecar
    (images,) = [tensor for tensor in sidecar.tensors if tensor.name == "images"]
    assert (images.type, images.shape) == ("float32", (None, 1, 16, 16))
    assert sidecar.metadata.bits == 16


def test_floats_of_16_bits_are_rounded_to_them(tmp_path: Path) -> None:
    """As the graph with a uint16 tail."""
    from gantool.models import save_checkpoint

    save_checkpoint(tmp_path / "c", lived_in(NETWORKS[NETWORK]), 1000, "shapes")
    command = ["export", "c", "--engine", "none"]
    run_gantool(*command, "--output", "float", "-o", "f", cwd=tmp_path, check=True)
    model = onnx.load(tmp_path / "f.onnx")
    (entry,) = [entry for entry in model.metadata_props if entry.key == "gantool"]
    entry.value = json.dumps({**json.loads(entry.value), "bits": 16})
    onnx.save(model, tmp_path / "f.onnx")
    with Generator.load(tmp_path / "f.onnx", "cpu") as generator:
        images = generator.images(SEEDS)
    assert images.dtype == np.uint16
    assert compare(expected(16), images).max_difference <= 16


def test_files_of_8_and_16_bits_are_compared_in_8(made: Path) -> None:
    options = ["--engine", "none", "-o", "eight", "--output", "uint8"]
    run_gantool("export", "generator.safetensors", *options, cwd=made, check=True)
    files = [made / "eight.onnx", made / "g.onnx", made / "g.fp16.onnx", made / "generator.safetensors"]
    found = verify(files)
    found.check()
    assert read_metadata(made / "eight.onnx").bits == 8


def test_a_bundle_has_golden_images_of_16_bits(made: Path) -> None:
    with tarfile.open(made / "b.tar") as tar:
        member = tar.extractfile("golden/seed0000.png")
        assert member
        with Image.open(io.BytesIO(member.read())) as image:
            assert image.mode == "I;16"
    result = run_gantool(
        "export", "b.tar", "--engine", "none", "--triton", "repo/b", "-o", "b", cwd=made, check=True
    )
    assert "of 65535" in result.stderr
    assert "TYPE_UINT16" in (made / "repo/b/config.pbtxt").read_text()


@pytest.mark.parametrize("kind", ["png", "tiff", "npy", "tar"])
def test_files_hold_every_level(kind: str, made: Path, tmp_path: Path) -> None:
    with Generator.load(made / "g.onnx", "cpu") as generator:
        images = generator.images(SEEDS)
    command = [
        "generate",
        str(made / "g.onnx"),
        "--provider",
        "cpu",
        "--seeds",
        "0-11",
        "--out",
        str(tmp_path),
    ]
    run_gantool(*command, "--format", kind, "--grid", "4x3", cwd=tmp_path, check=True)
    if kind == "npy":
        found = np.load(tmp_path / "images.npy")
    elif kind == "tar":
        with tarfile.open(tmp_path / "images-000000.tar") as tar:
            names = [name for name in tar.getnames() if name.endswith(".png")]
            found = np.stack([_pixels(tar.extractfile(name)) for name in names])  # type: ignore[arg-type]
    else:
        found = np.stack([_pixels(path) for path in sorted(tmp_path.glob(f"seed*.{kind}"))])
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found.reshape(images.shape), images)
    sheet = _pixels(tmp_path / "grid.png")
    assert sheet.shape == (3 * 16, 4 * 16)
    np.testing.assert_array_equal(sheet[:16, 16:32], images[1, ..., 0])
    again = run_gantool(*command, "--format", kind, "--resume", cwd=tmp_path, check=True)
    assert "12 of them were already there" in again.stdout


def _pixels(file: Path | io.BytesIO) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def test_raw_frames_are_little_endian(made: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "gantool",
        "generate",
        "g.onnx",
        "--provider",
        "cpu",
        "--seeds",
        "0-3",
        "-o",
        "-",
    ]
    result = subprocess.run(command, cwd=made, capture_output=True, check=True)
    with Generator.load(made / "g.onnx", "cpu") as generator:
        assert result.stdout == generator.images(range(4)).astype("<u2").tobytes()
    assert b"-pixel_format gray16le" in result.stderr


def test_resume_does_not_mix_8_and_16_bits(made: Path, tmp_path: Path) -> None:
    """A file of 8 bits is not the image; an array of 8 bits is another array."""
    options = ["--engine", "none", "-o", str(tmp_path / "eight"), "--output", "uint8"]
    run_gantool("export", "generator.safetensors", *options, cwd=made, check=True)
    for kind in ("png", "npy"):
        out = ["--seeds", "0-3", "--out", str(tmp_path / kind), "--format", kind]
        run_gantool("generate", tmp_path / "eight.onnx", *out, cwd=made, check=True)
        result = run_gantool("generate", "g.onnx", *out, "--resume", cwd=made)
        if kind == "png":
            assert "0 of them were already there" in result.stdout
        else:
            assert result.returncode == 2
            assert "is not an array of 4 images of 16×16×1 in 16 bits" in result.stderr


@pytest.mark.parametrize("kind", ["jpg", "webp"])
def test_formats_of_8_bits_are_refused(kind: str, made: Path, tmp_path: Path) -> None:
    result = run_gantool("generate", made / "g.onnx", "--format", kind, cwd=tmp_path)
    assert result.returncode == 2
    assert f"--format {kind} holds 8 bits" in result.stderr
    assert "choose png, tiff or npy" in result.stderr


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    from gantool.models import save_checkpoint

    save_checkpoint(tmp_path / "c", lived_in(NETWORKS["rgba"]), 1000, "shapes")
    result = run_gantool("export", "c", "--output", "uint16", cwd=tmp_path)
    assert result.returncode == 2
    assert "--output uint16 is for grey images: these have 4 channels" in result.stderr


def test_the_report_of_verify_enlarges_small_differences_of_16_bits(made: Path) -> None:
    flags = ("--seeds", "0-11", "--html", "v.html")
    run_gantool("verify", "g.onnx", "g.fp16.onnx", *flags, cwd=made, check=True)
    report = Report.read(made / "v.html")
    (row,) = report.rows("The files and the limits")[1:]
    assert row["largest difference"].endswith(" of 65535")
    seed = row["of seed"]
    with Generator.load(made / "g.onnx", "cpu") as generator:
        image = generator.images([int(seed)])[0]
    shown = report.pictures()
    assert (shown[f"seed {seed}, reference"] == eight_bits(image)[:, :, 0]).all()
    (changed,) = (each for name, each in shown.items() if name.startswith(f"seed {seed}, difference"))
    assert changed.max() > 64  # of differences below a level of 8 bits
