"""`gantool.ray`: what an actor makes, and a pool of them on a real cluster."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gantool
from conftest import run_gantool
from gantool.runtime.generator import Generator
from gantool.runtime.outputs.encoding import Encoding
from gantool.runtime.provenance.origin import Origin
from gantool.runtime.ray import Options, _Engine, _Work, sample
from gantool.runtime.seeds import parse_seeds
from helpers.commands import RAY_QUIET
from helpers.tiny import tiny_graph

CLUSTER = Path(__file__).parents[1] / "helpers/ray_cluster.py"
BUSY = 75  # what it exits with where Ray does not start in time


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "g.onnx"
    path.write_bytes(tiny_graph())
    return path


def actor(engine: Path, seeds: Any, **options: Any) -> _Engine:
    return _Engine(_Work(engine, Origin.of(engine).graph, seeds, Options(**options)))


def parts(*pairs: tuple[int, int]) -> dict[str, np.ndarray]:
    return {"start": np.array([start for start, _ in pairs]), "stop": np.array([stop for _, stop in pairs])}


def test_an_actor_makes_the_images_of_its_seeds(graph: Path) -> None:
    made = list(actor(graph, range(10, 90, 2), truncation=0.7, batch=4)(parts((0, 6), (30, 31))))
    assert [batch["seed"].tolist() for batch in made] == [[10, 12, 14, 16], [18, 20], [70]]
    with Generator.load(graph) as generator:
        for batch in made:
            expected = generator.images(batch["seed"], truncation=0.7)
            np.testing.assert_array_equal(batch["image"], expected)
            assert set(batch) == {"seed", "image"}


def test_seeds_are_text_if_there_is_a_mix(graph: Path) -> None:
    (made,) = actor(graph, parse_seeds("3-5,1+2"))(parts((2, 4)))
    assert made["seed"].tolist() == ["5", "1+2"]


def test_an_engine_of_another_graph_is_refused(graph: Path) -> None:
    with pytest.raises(
        gantool.GantoolError, match="is of another graph than that of the program: copy the same"
    ):
        _Engine(_Work(graph, "0" * 64, range(3), Options()))


def test_wrong_options_are_told_before_an_image_is_made(graph: Path, tmp_path: Path) -> None:
    with pytest.raises(gantool.UsageError, match="`label` 3 is for conditional generators"):
        actor(graph, range(3), label=3)
    with pytest.raises(gantool.UsageError, match="`actors` 0: give a whole number from 1"):
        Options(actors=0)
    with pytest.raises(gantool.UsageError, match="`format` gif: choose png, webp, jpg, tiff"):
        Options(format="gif")  # type: ignore[arg-type]
    with pytest.raises(gantool.UsageError, match="`quality` and `credit` are for files"):
        Options(quality=90)
    with pytest.raises(gantool.UsageError, match="a WebDataset holds files: give `format`"):
        sample({"seed": 3, "image": np.zeros((4, 4, 3), np.uint8)})
    with pytest.raises(gantool.GantoolError, match="missing.onnx does not exist"):
        gantool.ray.images(tmp_path / "missing.onnx", range(3))


def test_a_sample_of_a_class() -> None:
    made = sample({"seed": 12, "class": 3, "png": b"file"})
    assert made == {"__key__": "seed0012-3", "png": b"file", "cls": "3", "json": '{"seed": 12, "class": 3}'}
    mix = sample({"seed": "3*0.7+9*0.3", "webp": b""})
    assert mix == {"__key__": "seed3x0_7+9x0_3", "webp": b"", "json": '{"seed": "3*0.7+9*0.3"}'}
    assert sample({"seed": np.int64(5), "jpg": b""})["json"] == '{"seed": 5}'


@pytest.mark.slow
def test_an_actor_that_is_killed_at_work_loses_and_doubles_nothing(graph: Path, tmp_path: Path) -> None:
    """The files are those of `gantool generate`, byte for byte."""
    count = 6000
    result = subprocess.run(
        [sys.executable, CLUSTER, graph, tmp_path, str(count)],
        env={**os.environ, **RAY_QUIET, "HOME": str(tmp_path), "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == BUSY:
        pytest.skip("this machine is too busy for Ray to start a node within its 30 seconds")
    assert result.returncode == 0, result.stderr[-5000:]
    # Ray prints lines of its own around it
    assert re.search(r"^killed \d+$", result.stdout, re.MULTILINE), result.stdout[-2000:]
    with Generator.load(graph) as generator:
        expected = generator.images(range(count))
    with np.load(tmp_path / "pixels.npz") as found:
        assert found["seed"].tolist() == list(range(count))
        np.testing.assert_array_equal(found["image"], expected)

    files: list[tuple[str, bytes]] = []
    for path in (tmp_path / "tars").iterdir():
        with tarfile.open(path) as tar:
            for member in tar:
                data = tar.extractfile(member)
                assert data is not None
                files.append((member.name, data.read()))
    names = sorted(name for seed in range(count) for name in (f"seed{seed:04d}.json", f"seed{seed:04d}.png"))
    assert sorted(name for name, _ in files) == names
    assert json.loads(dict(files)["seed0005.json"]) == {"seed": 5}
    pixels = [
        Encoding().decode(io.BytesIO(dict(files)[f"seed{seed:04d}.png"]), 4, 4, 3) for seed in range(64)
    ]
    np.testing.assert_array_equal(np.stack([each for each in pixels if each is not None]), expected[:64])
    run_gantool("generate", graph, "--seeds", f"0-{count - 1}", "-o", "plain", cwd=tmp_path, check=True)
    plain = {path.name: path.read_bytes() for path in (tmp_path / "plain").iterdir()}
    assert {name: data for name, data in files if name.endswith(".png")} == plain
