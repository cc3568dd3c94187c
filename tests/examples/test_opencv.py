"""examples/opencv: the walk that OpenCV shows and writes is the generator's, and so is the stream that it reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gantool.runtime.generator import Generator
from helpers.examples import ran, script
from helpers.serving import graph_of, serving

cv2 = pytest.importorskip("cv2")
WALK = ["--seeds", "1~5~1", "--steps", "4", "--side", "64"]
STEPS = ["1", "1~5@2of4", "1~5@3of4", "5", "5~1@2of4", "5~1@3of4", "1"]


def enlarged(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return RGB images as BGR frames of 64×64."""
    return np.stack(
        [cv2.resize(image[..., ::-1], (64, 64), interpolation=cv2.INTER_CUBIC) for image in images]
    )


def frames_of(path: Path) -> NDArray[np.uint8]:
    """Return the frames of a film as OpenCV reads them, BGR."""
    film, frames = cv2.VideoCapture(str(path)), []
    while (read := film.read())[0]:
        frames.append(read[1])
    return np.stack(frames)


@pytest.mark.parametrize("kind", ["fp32", "rgba"])
def test_a_walk_is_written_to_a_file(kind: str, tmp_path: Path) -> None:
    graph = graph_of(kind, tmp_path)
    ran("opencv/walk.py", graph, *WALK, "--out", "walk.avi", cwd=tmp_path)
    with Generator.load(graph) as generator:
        images = generator.images(STEPS).astype(float)
    if kind == "rgba":
        alpha = images[..., 3:] / 255
        images = np.rint(images[..., :3] * alpha + 255 * (1 - alpha))
    frames = frames_of(tmp_path / "walk.avi")
    assert frames.shape == (7, 64, 64, 3)
    difference = np.abs(frames.astype(float) - enlarged(images.astype(np.uint8)))
    assert difference.mean() < 12  # Motion JPEG halves the colours
    assert np.abs(frames[0].astype(float) - frames[3]).mean() > 2 * difference.mean()


def test_a_window_shows_the_walk_until_q(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of("fp32", tmp_path)
    shown: list[NDArray[np.uint8]] = []
    monkeypatch.setattr(cv2, "namedWindow", lambda name: None)  # noqa: ARG005
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    monkeypatch.setattr(cv2, "imshow", lambda name, frame: shown.append(frame))  # noqa: ARG005
    monkeypatch.setattr(cv2, "waitKey", lambda delay: ord("q") if len(shown) == 9 else -delay)
    monkeypatch.setattr(sys, "argv", ["walk.py", str(graph), *WALK])
    script("opencv/walk.py").main()
    with Generator.load(graph) as generator:
        assert np.array_equal(np.stack(shown), enlarged(generator.images([*STEPS, *STEPS[:2]])))


def test_what_cannot_be_done_is_said_in_a_line(tmp_path: Path) -> None:
    graph = graph_of("fp32", tmp_path)
    for arguments, error in (
        ([tmp_path / "no.onnx"], "no.onnx does not exist"),
        ([graph, "--seeds", "1"], "`seeds` '1' has none"),
        ([graph, "--out", "nowhere/walk.avi"], "OpenCV cannot write nowhere/walk.avi"),
    ):
        result = ran("opencv/walk.py", *arguments, cwd=tmp_path, check=False)
        assert result.returncode == 1
        assert error in result.stderr.splitlines()[-1]


def test_opencv_reads_the_stream_of_a_service(tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    graph = graph_of("fp32", tmp_path)
    with serving(graph) as served:
        address = f"http://127.0.0.1:{served.port}/stream.mjpg?seeds=5&size=64&fps=30"
        result = ran("opencv/stream.py", address, cwd=tmp_path)
    assert result.stdout.splitlines()[-1].startswith("frame 30: 64x64")
    with Generator.load(graph) as generator:
        images = enlarged(generator.images(range(10))).astype(float)
    errors = np.abs(cv2.imread(str(tmp_path / "frame.png")) - images).mean((1, 2, 3))
    assert errors[5] < 0.75 * np.delete(errors, 5).min()  # no other seed is near
