"""examples/gstreamer: the scripts write videos of what the generator makes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gantool.runtime.generator import Generator
from helpers.examples import ran
from helpers.serving import graph_of, serving

av = pytest.importorskip("av")
pytestmark = pytest.mark.skipif(not shutil.which("gst-launch-1.0"), reason="no gst-launch-1.0")


def frames_of(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])


@pytest.mark.parametrize("kind", ["fp32", "rgba"])
def test_a_walk_becomes_a_video(kind: str, tmp_path: Path) -> None:
    graph = graph_of(kind, tmp_path)
    ran("gstreamer/film.sh", graph, "walk.webm", cwd=tmp_path, SEEDS="1,5", FRAMES="4")
    with Generator.load(graph) as generator:
        images = generator.images(["1", "1~5@2of5", "1~5@3of5", "1~5@4of5", "5"]).astype(float)
    if kind == "rgba":
        alpha = images[..., 3:] / 255
        images = images[..., :3] * alpha + 255 * (1 - alpha)
    frames = frames_of(tmp_path / "walk.webm")
    assert frames.shape == (5, 128, 128, 3)
    difference = np.abs(frames - images.repeat(8, 1).repeat(8, 2)).mean()
    assert difference < 5
    assert np.abs(frames[0].astype(float) - frames[-1]).mean() > 2 * difference


def test_an_engine_that_is_not_there_ends_it(tmp_path: Path) -> None:
    result = ran("gstreamer/film.sh", "no.onnx", cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("gantool: no.onnx does not exist")
    assert list(tmp_path.iterdir()) == []


def test_the_stream_of_a_service_is_recorded(tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    graph = graph_of("fp32", tmp_path)
    with serving(graph, token="secret") as served:
        words = ("gstreamer/stream.sh", f"http://127.0.0.1:{served.port}", "stream.webm")
        query = "seeds=5&size=128&fps=20&frames=20"
        refused = ran(*words, cwd=tmp_path, check=False, QUERY=query)
        ran(*words, cwd=tmp_path, QUERY=query, GANTOOL_TOKEN="secret")
    assert refused.returncode == 1
    assert "Unauthorized" in refused.stderr
    frames = frames_of(tmp_path / "stream.webm")
    assert frames.shape[1:] == (128, 128, 3)
    assert 10 <= len(frames) <= 20  # a reader that is slow misses some
    with Generator.load(graph) as generator:
        images = generator.images(range(10)).astype(float)
    centres = frames[-1][4::8, 4::8]  # [16, 16, 3]
    errors = np.abs(centres - images).mean((1, 2, 3))
    assert errors[5] < 0.75 * np.delete(errors, 5).min()  # no other seed is near
