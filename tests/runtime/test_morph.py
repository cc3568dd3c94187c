"""`gantool morph`: films of walks through the latent space."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from conftest import run_gantool
from gantool.runtime.files import atomic
from gantool.runtime.generator import Generator
from gantool.runtime.outputs.animation import Clock, Film
from gantool.runtime.outputs.video import Video
from gantool.runtime.walk import Walk

Frames = NDArray[np.uint8]  # [N, H, W, C]


def morphed(folder: Path, *flags: str) -> str:
    return run_gantool("morph", "g.onnx", *flags, cwd=folder, check=True).stdout


def frames_of(path: Path) -> Frames:
    """Return the frames of a film as any viewer shows them."""
    if path.suffix in (".mp4", ".webm"):
        av = pytest.importorskip("av")
        with av.open(str(path)) as film:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])
    with Image.open(path) as film:
        return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)])


@pytest.mark.parametrize(
    ("name", "most"),
    [("m.webp", 0), ("m.png", 0), ("m.gif", 0), ("m.mp4", 12), ("m.webm", 12)],
)
def test_a_film_shows_the_seeds_and_what_lies_between(work: Path, name: str, most: int) -> None:
    morphed(work, "--seeds", "1,5,9", "--frames", "4", "-o", name)
    frames = frames_of(work / name)
    assert frames.shape == (9, 32, 32, 3)
    with Generator.load(work / "g.onnx") as generator:
        seeds = generator.images([1, 5, 9])
        between = generator.images("1~5@2of5")
    for index, image in ((0, seeds[0]), (4, seeds[1]), (8, seeds[2]), (1, between[0])):
        assert np.abs(frames[index].astype(int) - image).mean() <= most


def test_a_loop_ends_before_its_first_seed(work: Path) -> None:
    morphed(work, "--seeds", "1,5", "--frames", "3", "--loop", "-o", "m.webp")
    frames = frames_of(work / "m.webp")
    assert len(frames) == 6
    with Generator.load(work / "g.onnx") as generator:
        assert np.array_equal(frames[3], generator.images([5])[0].repeat(3, 2))


def test_a_grid_deals_the_seeds_to_its_cells_in_order(work: Path) -> None:
    morphed(work, "--seeds", "0-5", "--frames", "2", "--grid", "3x1", "--upscale", "2", "-o", "m.png")
    first = frames_of(work / "m.png")[0]
    with Generator.load(work / "g.onnx") as generator:
        cells = generator.images([0, 2, 4]).repeat(2, 1).repeat(2, 2).repeat(3, 3)  # [3, 64, 64, 3]
    assert np.array_equal(first, np.concatenate(list(cells), 1))


def test_raw_frames_are_those_of_the_film(work: Path) -> None:
    command = [sys.executable, "-m", "gantool", "morph", "g.onnx", "--frames", "2", "-o", "-"]
    command += ["--provider", "cpu"]
    result = subprocess.run(command, cwd=work, capture_output=True, check=True)
    morphed(work, "--frames", "2", "-o", "m.webp")
    assert result.stdout == frames_of(work / "m.webp")[..., 0].tobytes()


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--seeds", "1"), "at least two seeds"),
        (("--seeds", "0-4", "--grid", "2x1"), "cannot be dealt evenly"),
        (("--grid", "4x3"), "as in 0-23"),
        (("--seeds", "0-4294967295"), "at most 100,000"),
        (("--grid", "2by1"), "write columns by rows"),
        (("-o", "m.avi"), "ends in one of"),
        (("-o", "m.gif", "--fps", "60"), "at most 50"),
        (("--upscale", "256", "--grid", "3x1"), "too large"),
        (("--class", "1"), "takes no label"),
        (("--background", "black"), "is for transparent images"),
        (("--frames", "0"), "--frames 0"),
        (("-o", "g.onnx"), "ends in one of"),
    ],
)
def test_what_cannot_be_a_film(work: Path, flags: tuple[str, ...], problem: str) -> None:
    result = run_gantool("morph", "g.onnx", *flags, cwd=work)
    assert result.returncode == 2
    assert problem in result.stderr
    assert not [*work.glob("m*")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_video_on_a_full_disk_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    real = av.open
    monkeypatch.setattr(av, "open", lambda path, mode: real("/dev/full", mode, format=Path(path).suffix[1:]))
    target = tmp_path / "m.mp4"

    def write() -> None:
        with atomic(target) as part:
            film = Video(part, Film(16, 16, 3, 30, 1), 1)
            film.add(np.zeros((16, 16, 3), np.uint8))
            film.close()

    with pytest.raises(OSError, match="No space left") as raised:
        write()
    assert raised.value.filename == str(target)


def test_a_film_is_not_overwritten_unless_forced(work: Path) -> None:
    morphed(work, "--frames", "1")
    assert run_gantool("morph", "g.onnx", cwd=work).returncode == 2
    morphed(work, "--frames", "1", "--force")


@given(
    st.integers(1, 3), st.integers(2, 5), st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 99)
)
def test_a_walk_keeps_the_norm_and_meets_its_seeds(
    cells: int, seeds: int, frames: int, loop: bool, ease: bool, random: int
) -> None:
    z = np.random.RandomState(random).randn(cells, seeds, 16)
    z /= np.linalg.norm(z, axis=2, keepdims=True)
    walk = Walk(z, None, frames, loop, ease)
    places: list[Any] = [place for place, _ in walk.places()]
    made = walk.at(places).reshape(walk.length, cells, 16)
    assert np.allclose(np.linalg.norm(made, axis=2), 1, atol=1e-5)
    assert np.allclose(made[::frames].swapaxes(0, 1)[:, :seeds], z, atol=1e-5)


@given(st.floats(0.1, 50), st.integers(1, 500))
def test_rounded_durations_add_up(fps: float, frames: int) -> None:
    clock = Clock(fps, 100)
    total = sum(clock.tick() for _ in range(frames))
    assert abs(total - 100 * frames / fps) <= 0.5 + 1e-6


def test_a_class_changes_in_the_middle_of_a_leg() -> None:
    walk = Walk(np.eye(3)[None], np.array([[4, 7, 2]]), 4, loop=False, ease=False)
    assert [label for _, label in walk.places()] == [4, 4, 7, 7, 7, 7, 2, 2, 2]


@given(st.integers(1, 9), st.booleans(), st.booleans())
def test_soft_classes_cross_fade(frames: int, loop: bool, ease: bool) -> None:
    walk = Walk(np.eye(3)[None], np.array([[4, 7, 2]]), frames, loop, ease, fades=8)
    shares = np.stack([np.asarray(label) for _, label in walk.places()])  # [frames, classes]
    assert np.allclose(shares.sum(1), 1)
    assert np.array_equal(shares[::frames][:3], np.eye(8)[[4, 7, 2]])
    leg = shares[: frames + 1]
    assert np.all(np.diff(leg[:, 7]) > 0)
    if not ease:
        assert np.allclose(leg[:, 7], np.linspace(0, 1, frames + 1))


def test_a_rate_of_frames_is_kept_in_a_video(work: Path) -> None:
    av = pytest.importorskip("av")
    morphed(work, "--frames", "3", "--fps", "23.976", "-o", "m.mp4")
    with av.open(str(work / "m.mp4")) as film:
        assert abs(float(Fraction(film.streams.video[0].average_rate)) - 23.976) < 0.01
