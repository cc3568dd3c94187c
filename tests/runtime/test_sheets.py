"""Transparent images and sheets of `gantool generate`: what is kept, what is laid on a colour, sprite sheets."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import run_gantool
from gantool.runtime import Generator
from helpers.tiny import write_graphs

SIDE = 4  # pixels of an image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the graphs rgba.onnx, rgb.onnx and grey.onnx."""
    return write_graphs(tmp_path_factory.mktemp("graphs"))


def images_of(graph: Path, count: int = 8) -> np.ndarray:
    with Generator.load(graph, "cpu") as generator:
        return generator.images(range(count))


def pixels(file: Path | io.BytesIO) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def generate(folder: Path, name: str, out: Path, *flags: str) -> None:
    seeds = () if "--seeds" in flags else ("--seeds", "0-7")
    command = ["generate", folder / f"{name}.onnx", "--provider", "cpu", *seeds, "--out", out, *flags]
    run_gantool(*command, cwd=folder, check=True)


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_files_keep_every_colour_and_its_alpha(kind: str, folder: Path, tmp_path: Path) -> None:
    """Also the colour of pixels that are transparent."""
    generate(folder, "rgba", tmp_path, "--format", kind)
    for seed, image in enumerate(images_of(folder / "rgba.onnx")):
        np.testing.assert_array_equal(pixels(tmp_path / f"seed{seed:04d}.{kind}"), image)
    generate(folder, "rgba", tmp_path, "--format", kind, "--resume")


def test_arrays_shards_and_frames_have_four_channels(folder: Path, tmp_path: Path) -> None:
    images = images_of(folder / "rgba.onnx")
    generate(folder, "rgba", tmp_path, "--format", "npy")
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), images)
    generate(folder, "rgba", tmp_path, "--format", "tar")
    with tarfile.open(tmp_path / "images-000000.tar") as tar:
        member = tar.extractfile("seed0003.png")
        assert member
        np.testing.assert_array_equal(pixels(io.BytesIO(member.read())), images[3])
    command = [sys.executable, "-m", "gantool", "generate", "rgba.onnx", "--seeds", "0-7", "--out", "-"]
    result = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    assert result.stdout == images.tobytes()
    assert b"-pixel_format rgba -video_size 4x4" in result.stderr
    assert b"width=4 height=4 format=rgba" in result.stderr


def test_a_background_shows_through(folder: Path, tmp_path: Path) -> None:
    """Files hold RGB: the colour by alpha, and the background by the rest."""
    generate(folder, "rgba", tmp_path, "--background", "#ff8000", "--grid", "3x3")
    images = images_of(folder / "rgba.onnx").astype(float)
    ground = np.array([255, 128, 0])
    alpha = images[..., 3:] / 255
    wanted = images[..., :3] * alpha + ground * (1 - alpha)
    for seed in range(8):
        found = pixels(tmp_path / f"seed{seed:04d}.png")
        assert np.abs(found - wanted[seed]).max() <= 0.5
    sheet = pixels(tmp_path / "grid.png")
    assert sheet.shape == (3 * SIDE, 3 * SIDE, 3)
    assert (sheet[-SIDE:, -SIDE:] == ground).all()  # the ninth place has no image


def test_jpeg_needs_a_background(folder: Path, tmp_path: Path) -> None:
    refused = run_gantool("generate", "rgba.onnx", "--format", "jpg", "--out", tmp_path / "a", cwd=folder)
    assert refused.returncode == 2
    assert "jpg has no transparency: choose png or webp" in refused.stderr
    assert not (tmp_path / "a").exists()
    generate(folder, "rgba", tmp_path / "b", "--format", "jpg", "--background", "white")
    assert pixels(tmp_path / "b" / "seed0000.jpg").shape == (SIDE, SIDE, 3)
    generate(folder, "rgba", tmp_path / "b", "--format", "jpg", "--background", "white", "--resume")


@pytest.mark.parametrize(
    ("graph", "flags", "says"),
    [
        ("rgb", ["--background", "white"], "--background white is for transparent images"),
        ("rgba", ["--background", "red"], "--background red: give white, black or a colour as #rrggbb"),
        ("rgba", ["--spacing", "2"], "--spacing 2 is for a sheet: add --grid 8x8"),
        ("rgba", ["--scale", "2"], "--scale 2 is for a sheet"),
        ("rgba", ["--atlas"], "--atlas is for a sheet"),
        ("rgb", ["--grid", "8x8", "--scale", "0"], "--scale 0: give a whole number from 1 to 64"),
        ("rgb", ["--grid", "8x8", "--spacing", "-1"], "--spacing -1: give a whole number from 0 to 1024"),
        ("rgb", ["--grid", "999x999", "--scale", "9"], "or a smaller --scale"),
    ],
)
def test_options_that_do_nothing_are_refused(
    graph: str, flags: list[str], says: str, folder: Path, tmp_path: Path
) -> None:
    result = run_gantool("generate", f"{graph}.onnx", *flags, "--out", tmp_path / "a", cwd=folder)
    assert result.returncode == 2
    assert says in result.stderr
    assert not (tmp_path / "a").exists()


def test_a_sheet_to_look_at_shows_transparency_as_a_checkerboard(folder: Path, tmp_path: Path) -> None:
    generate(folder, "rgba", tmp_path, "--grid", "4x2")
    sheet = pixels(tmp_path / "grid.png")
    assert sheet.shape == (2 * SIDE, 4 * SIDE, 3)
    images = images_of(folder / "rgba.onnx")
    opaque = images[0, ..., 3] == 255
    assert (sheet[:SIDE, :SIDE][opaque] == images[0, ..., :3][opaque]).all()


@pytest.mark.parametrize("name", ["rgb", "grey"])
def test_a_plain_sheet_has_cells_side_by_side(name: str, folder: Path, tmp_path: Path) -> None:
    generate(folder, name, tmp_path, "--grid", "3x4")
    images = images_of(folder / f"{name}.onnx")
    sheet = pixels(tmp_path / "grid.png").reshape(3 * SIDE, 3 * SIDE, -1)  # three rows have images
    for seed in range(8):
        row, column = divmod(seed, 3)
        cell = sheet[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        np.testing.assert_array_equal(cell, images[seed])
    assert not sheet[-SIDE:, -SIDE:].any()
    assert not (tmp_path / "grid.json").exists()


@pytest.mark.parametrize("name", ["rgba", "rgb", "grey"])
@pytest.mark.parametrize(
    "flags", [["--spacing", "3"], ["--scale", "2"], ["--spacing", "2", "--scale", "3"], []]
)
def test_an_atlas_says_where_each_image_is(name: str, flags: list[str], folder: Path, tmp_path: Path) -> None:
    generate(folder, name, tmp_path, "--seeds", "5-9", "--grid", "3x2", "--atlas", *flags)
    given = dict(zip(flags[::2], map(int, flags[1::2]), strict=True))
    scale, spacing = given.get("--scale", 1), given.get("--spacing", 0)
    images = images_of(folder / f"{name}.onnx", 10)
    sheet = pixels(tmp_path / "grid.png")
    sheet = sheet.reshape(*sheet.shape[:2], -1)
    atlas = json.loads((tmp_path / "grid.json").read_text())
    assert atlas["meta"]["image"] == "grid.png"
    assert atlas["meta"]["size"] == {"w": sheet.shape[1], "h": sheet.shape[0]}
    assert sheet.shape[:2] == (2 * SIDE * scale + spacing, 3 * SIDE * scale + 2 * spacing)
    covered = np.zeros(sheet.shape[:2], bool)
    assert list(atlas["frames"]) == [f"seed{seed:04d}" for seed in range(5, 10)]
    for seed, sprite in zip(range(5, 10), atlas["frames"].values(), strict=True):
        x, y, w, h = (sprite["frame"][key] for key in "xywh")
        np.testing.assert_array_equal(sheet[y : y + h : scale, x : x + w : scale], images[seed])
        np.testing.assert_array_equal(sheet[y : y + h], sheet[y : y + h : scale].repeat(scale, 0))
        assert sprite["sourceSize"] == {"w": SIDE * scale, "h": SIDE * scale}
        assert (sprite["rotated"], sprite["trimmed"]) == (False, False)
        assert not covered[y : y + h, x : x + w].any()
        covered[y : y + h, x : x + w] = True
    assert not sheet[~covered].any()  # transparent, or black


def test_the_space_between_sprites_has_the_background(folder: Path, tmp_path: Path) -> None:
    generate(folder, "rgba", tmp_path, "--grid", "2x2", "--spacing", "1", "--background", "#010203")
    sheet = pixels(tmp_path / "grid.png")
    assert (sheet[SIDE] == (1, 2, 3)).all()
    assert (sheet[:, SIDE] == (1, 2, 3)).all()
