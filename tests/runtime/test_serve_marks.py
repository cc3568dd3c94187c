"""The marks in the answers of `gantool serve`: a real server, and `gantool authenticate` on what it sends."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import run_gantool
from field.cases import gantool
from gantool.runtime.errors import UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.provenance.read import read_mark
from gantool.runtime.provenance.record import Record
from gantool.runtime.provenance.xmp import SOURCE_TYPE, Mark
from helpers.serving import Served, graph_of, serving
from helpers.tiny import soft_graph

pytest.importorskip("starlette")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with graphs: conditional.onnx, rgba.onnx, and soft.onnx, which mixes classes."""
    made = tmp_path_factory.mktemp("served")
    for name in ("conditional", "rgba"):
        graph_of(name, made)
    (made / "soft.onnx").write_bytes(soft_graph())
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """Serve the graphs; conditional is the default."""
    graphs = (folder / f"{name}.onnx" for name in ("conditional", "rgba", "soft"))
    with serving(*graphs, provider="cpu", max_batch=4, credit="Æsop", aigc="us,7") as server:
        yield server


def mark_of(path: Path) -> Mark:
    mark = read_mark(path)
    assert mark
    return mark


def record_of(path: Path) -> Record:
    record = mark_of(path).record
    assert record
    return record


def verdicts(files: Path, engine: Path) -> dict[str, str]:
    """Return what `gantool authenticate` says of each file."""
    answer = gantool(
        ["authenticate", str(files), "-e", str(engine), "--provider", "cpu", "--json"], engine.parent
    )
    assert answer.code in (0, 3), answer.err
    return {Path(each["file"]).name: each["verdict"] for each in json.loads(answer.out)}


def test_images_are_authentic(served: Served, folder: Path, tmp_path: Path) -> None:
    asked = [
        *("5.png", "1+2.webp", "7.jpg", "9.png?trunc=0.7&class=1"),
        *("5.png?model=rgba", "6.webp?model=rgba", "7.jpg?model=rgba&trunc=0.5"),
        *("5.png?model=soft", "6.png?model=soft&class=2"),
    ]
    for path in asked:
        name, _, query = path.partition("?")
        model = "rgba" if "rgba" in query else "soft" if "soft" in query else "conditional"
        (tmp_path / model).mkdir(exist_ok=True)
        (tmp_path / model / name).write_bytes(served.ask(f"/images/{path.replace('+', '%2B')}").body)
    found = {
        model: verdicts(tmp_path / model, folder / f"{model}.onnx")
        for model in ("conditional", "rgba", "soft")
    }
    assert {kind for each in found.values() for kind in each.values()} == {"authentic"}
    assert sum(map(len, found.values())) == len(asked)
    mark, record = mark_of(tmp_path / "conditional/9.png"), record_of(tmp_path / "conditional/9.png")
    assert mark.aigc
    assert (mark.source_type, mark.credit, mark.aigc["ReservedCode1"]) == (SOURCE_TYPE, "Æsop", "7")
    assert (record.seed, record.truncation, record.label) == ("9", 0.7, 1)
    assert record_of(tmp_path / "rgba/7.jpg").background == "white"


def test_another_size_keeps_its_mark(served: Served, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "5.png").write_bytes(served.ask("/images/5.png?size=64").body)
    assert verdicts(tmp_path, folder / "conditional.onnx") == {"5.png": "copy"}


def test_marks_are_those_of_generate(served: Served, folder: Path) -> None:
    said = ("--credit", "Æsop", "--aigc", "us,7", "--provider", "cpu")
    flags = ("--seeds", "0-5", "--format", "jpg", "--background", "white", "--trunc", "0.5")
    run_gantool("generate", "rgba.onnx", *flags, "-o", "own", *said, cwd=folder, check=True)
    query = "model=rgba&trunc=0.5"
    for seed in range(6):
        assert (
            served.ask(f"/images/{seed}.jpg?{query}").body
            == (folder / f"own/seed{seed:04d}.jpg").read_bytes()
        )
    walk = ("--seeds", "0,1", "--frames", "2", "--trunc", "0.5", "-o", "m.gif")
    run_gantool("morph", "rgba.onnx", *walk, *said, cwd=folder, check=True)
    answer = served.ask(f"/morph.gif?seeds=0,1&frames=2&{query}")
    assert answer.body == (folder / "m.gif").read_bytes()
    assert record_of(folder / "m.gif").seeds == "0,1"


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({"seeds": "0-8", "trunc": 0.5, "class": [0, 1, 2] * 3}, "conditional"),
        ({"seeds": [3, "1+2"], "class": [[0.25, 0.75, 0], [0.1, 0.2, 0.7]]}, "soft"),
        ({"seeds": "0-2", "image": "jpg"}, "rgba"),
        ({"z": 5, "image": "webp"}, "rgba"),
    ],
    ids=["classes", "shares", "jpg", "z"],
)
def test_a_tar_has_authentic_images_and_their_marks_beside(
    given: dict[str, Any], model: str, served: Served, folder: Path, tmp_path: Path
) -> None:
    if "z" in given:
        with Generator.load(folder / f"{model}.onnx", "cpu") as generator:
            given = {**given, "z": generator.z(range(5)).tolist()}
    answer = served.post("/generate", {"model": model, **given})
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    images = {name: data for name, data in members.items() if not name.endswith((".json", ".cls"))}
    for name, data in images.items():
        (tmp_path / name).write_bytes(data)
        beside = json.loads(members[f"{name.rpartition('.')[0]}.json"])
        assert beside["mark"]["record"] == record_of(tmp_path / name).to_json()
    found = verdicts(tmp_path, folder / f"{model}.onnx")
    assert set(found.values()) == {"authentic"}
    assert set(found) == set(images)


def test_what_a_mark_says_is_in_the_tag(served: Served, folder: Path, tmp_path: Path) -> None:
    paths = ("/images/5.png", "/grid.png?seeds=0-3", "/morph.gif?seeds=0,1&frames=2")
    tags = {served.ask(path).headers["etag"] for path in paths}
    for options in ({"mark": "none"}, {"credit": "us"}, {"credit": "Æsop", "aigc": "us,8"}):
        with serving(folder / "conditional.onnx", provider="cpu", **options) as other:
            for path in paths:
                answer = other.ask(path)
                tags.add(answer.headers["etag"])
                file = tmp_path / path.partition("?")[0].rpartition("/")[2]
                file.write_bytes(answer.body)
                assert (read_mark(file) is None) == (options.get("mark") == "none")
    assert len(tags) == 12


def test_without_marks_a_tar_has_none_beside(folder: Path) -> None:
    with serving(folder / "rgba.onnx", provider="cpu", mark="none") as server:
        answer = server.post("/generate", {"seeds": "0-1"})
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        assert tar.getnames() == ["seed0000.png", "seed0001.png"]


def test_arrays_are_pixels_alone(served: Served, folder: Path) -> None:
    answer = served.post("/generate?format=npy", {"seeds": "0-2", "class": 1})
    with Generator.load(folder / "conditional.onnx", "cpu") as generator:
        np.testing.assert_array_equal(np.load(io.BytesIO(answer.body)), generator.images("0-2", label=1))
    assert SOURCE_TYPE.encode() not in answer.body


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mark": "none", "credit": "us"}, "leaves no place for `credit`"),
        ({"aigc": ",7"}, "give PRODUCER"),
    ],
)
def test_marks_that_cannot_be(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message), serving(tmp_path / "none.onnx", **options):
        pass
