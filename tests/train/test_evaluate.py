"""`gantool evaluate` through the command line, and its numbers where the right ones are known."""

from __future__ import annotations

import json
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from conftest import run_gantool
from gantool.models.config import square
from gantool.runtime.errors import pip_install
from gantool.runtime.metadata import Metadata
from gantool.train.data.dataset import load_images
from gantool.train.evaluate import evaluate
from gantool.train.metrics.scores import frechet, kernel, scores
from gantool.train.requests import EvaluateOptions
from helpers.logs import logged
from helpers.pages import Report


def clouds(seed: int = 0, count: int = 600) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 8)).astype(np.float32)


def test_the_frechet_distance_of_two_gaussians() -> None:
    """|difference of means|² + sum of (difference of deviations)²."""
    real, fake = clouds(0, 20_000), clouds(1, 20_000) * 2 + 3
    assert frechet(real, fake) == pytest.approx(8 * (3**2 + 1**2), rel=0.02)


def positive(seed: int, count: int) -> Any:
    """Return vectors as a ReLU leaves them, float32 [count, 64]."""
    rng = np.random.RandomState(seed)
    return np.maximum(rng.randn(count, 64) @ rng.randn(64, 64) / 8, 0).astype(np.float32)


def normal(seed: int, shape: tuple[int, int], scale: float = 1.0, shift: float = 0.0) -> Any:
    return (np.random.RandomState(seed).randn(*shape) * scale + shift).astype(np.float32)


@pytest.mark.parametrize(
    ("real", "fake", "fd", "kid"),
    [
        (normal(0, (600, 8)), normal(1, (500, 8)), 0.09799471497535706, 0.002747082617133856),
        (normal(0, (600, 8)), normal(1, (500, 8), 2, 3), 82.51808166503906, 1412.3408203125),
        (normal(2, (2500, 64)), normal(3, (2500, 64), 1.1, 0.1), 2.1810097694396973, 0.032437633723020554),
        (positive(4, 3000), positive(5, 2000), 5.670452117919922, 0.018728792667388916),
        (normal(6, (20, 64)), normal(7, (20, 64), 1.2), 91.66971588134766, 0.04659893363714218),
        (normal(8, (6, 4)), normal(9, (7, 4), 0.5), 4.906522274017334, -0.20112593472003937),
    ],
    ids=["near", "far", "more than a subset", "positive", "fewer than dimensions", "few"],
)
def test_distances_are_those_of_torchmetrics(real: Any, fake: Any, fd: float, kid: float) -> None:
    """The numbers that torchmetrics 1.9.0 gives for these vectors, with its subsets drawn from seed 0."""
    assert frechet(real, fake) == pytest.approx(fd, rel=1e-4)
    assert kernel(real, fake) == pytest.approx(kid, rel=1e-4)


def test_scores_of_the_same_cloud_and_of_a_collapsed_one() -> None:
    real, same = clouds(0), clouds(1)
    good = scores(real, same)
    assert good.fd < 0.2
    assert abs(good.kid) < 0.02
    assert min(good.precision, good.recall) > 0.8
    assert good.diversity == pytest.approx(1, abs=0.05)
    assert good.copies < 0.02
    collapsed = scores(real, np.zeros_like(real) + same * 0.01)
    assert collapsed.diversity < 0.02
    assert (collapsed.precision > 0.9, collapsed.recall < 0.05) == (True, True)
    assert collapsed.fd > 1
    assert scores(real, real[:100] + 1e-3).copies == 1


def test_a_run_is_evaluated(trained: Path, tmp_path: Path) -> None:
    (run,) = (trained / "runs").iterdir()
    flags = ("--samples", "64", "-o", tmp_path, "--json")
    own = {"GANTOOL_CACHE": str(tmp_path / "cache")}
    result = run_gantool("evaluate", run, *flags, cwd=trained, env=own, check=True)
    value = json.loads(result.stdout)
    assert "training a small classifier" in result.stderr
    assert (value["kimg"], value["samples"], value["real"], value["features"]) == (
        1.008,
        64,
        200,
        "classifier",
    )
    assert value["fd"] > 0
    assert value["image"] == "32×32×1"
    assert "64 generated images are few for vectors of 64 numbers" in value["notes"][0]
    (line,) = (tmp_path / "metric-classifier.jsonl").read_text().splitlines()
    assert json.loads(line)["fd"] == value["fd"]
    with Image.open(tmp_path / "nearest.png") as sheet:
        assert sheet.size == (5 * 32, 12 * 32)
    # the network is kept, and gives the same again
    again = run_gantool("evaluate", run / "generator.safetensors", *flags, cwd=trained, env=own, check=True)
    assert "training a small classifier" not in again.stderr
    assert json.loads(again.stdout)["fd"] == value["fd"]


def test_a_graph_scores_as_its_checkpoint(checkpoint: Path, exported: Path, tmp_path: Path) -> None:
    values = []
    for source in (checkpoint, exported / "g.onnx"):
        result = run_gantool(
            "evaluate",
            source,
            "--data",
            "fashion-mnist",
            "--samples",
            "32",
            "-o",
            tmp_path,
            "--json",
            cwd=tmp_path,
            check=True,
        )
        values.append(json.loads(result.stdout))
    assert values[0]["fd"] == pytest.approx(values[1]["fd"], rel=0.02)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Return a folder with 40 images of two classes: bright above, and bright to the left."""
    rng = np.random.default_rng(0)
    for name, area in (("above", np.s_[:16]), ("left", np.s_[:, :16])):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(20):
            image = rng.integers(0, 60, (32, 32)).astype(np.uint8)
            image[area] += 150
            Image.fromarray(image).save(tmp_path / "data" / name / f"{index}.png")
    return tmp_path / "data"


def generator_of_classes(path: Path, counts: list[int]) -> Path:
    """Write a graph whose images are noise, bright above in class 0, and bright to the left in class 1."""
    areas = np.zeros((2, 1, 32, 32), np.float32)
    areas[0, :, :16], areas[1, :, :, :16] = 150, 150
    constants = {
        "shape": np.array([-1, 1, 32, 32], np.int64),
        "areas": areas,
        "middle": np.float32(30),
        "spread": np.float32(15),
    }
    nodes = [
        helper.make_node("Reshape", ["z", "shape"], ["noise"]),
        helper.make_node("Gather", ["areas", "label"], ["area"]),
        helper.make_node("Mul", ["noise", "spread"], ["scaled"]),
        helper.make_node("Add", ["scaled", "middle"], ["moved"]),
        helper.make_node("Add", ["moved", "area"], ["sum"]),
        helper.make_node("Transpose", ["sum"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["last"], ["images"], to=TensorProto.UINT8),
    ]
    inputs = [
        helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 1024]),
        helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
    ]
    outputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 32, 32, 1])]
    weights = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "classes", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    about = Metadata.of(
        architecture="x", latent=1024, distribution="normal", data="d", classes=2, class_counts=counts
    )
    helper.set_model_props(model, {"gantool": json.dumps(about.to_json())})
    onnx.save(model, path)
    return path


def test_classes_have_the_shares_of_the_data(classes: Path, tmp_path: Path) -> None:
    for index in range(18):
        (classes / "left" / f"{index}.png").unlink()
    distances = []
    for counts in ([20, 2], [2, 20], [1, 1]):
        graph = generator_of_classes(tmp_path / "g.onnx", counts)
        flags = ("--data", classes, "--samples", "220", "--json", "-o", tmp_path / "out")
        found = json.loads(run_gantool("evaluate", graph, *flags, cwd=tmp_path, check=True).stdout)
        distances.append(found["fd"])
    right, wrong, even = distances
    assert right < even / 4 < wrong / 4


def test_copies_are_found_out_and_a_missing_class_is_named(classes: Path, tmp_path: Path) -> None:
    flags = ("--data", classes, "--json", "-o", tmp_path / "out", "--html", "e.html")
    whole = json.loads(run_gantool("evaluate", classes, *flags, cwd=tmp_path, check=True).stdout)
    assert (whole["copies"], whole["classes"]["missing"]) == (1, [])
    assert whole["fd"] == pytest.approx(0, abs=1e-3)
    page = Report.read(tmp_path / "e.html")
    assert "40 of 40 images are near-copies of a training image" in page.text
    pictures = page.pictures()
    numbers = [
        name.removeprefix("generated image ") for name in pictures if name.startswith("generated image")
    ]
    assert len(numbers) == 12
    for at in numbers:  # each beside itself
        image = pictures[f"generated image {at}"]
        assert (pictures[f"training image nearest to image {at}, rank 1"] == image).all()
        assert f"image {at}: 0.00, a near-copy" in page.headings
    assert page.elements["svg"] == 2
    half = json.loads(run_gantool("evaluate", classes / "left", *flags, cwd=tmp_path, check=True).stdout)
    assert half["classes"]["missing"] == ["above"]
    assert half["fd"] > 1
    page = Report.read(tmp_path / "e.html")
    shown = {row["score"].partition(".")[0]: row for row in page.rows("Scores")}
    for name in ("fd", "kid", "precision", "recall", "diversity", "copies"):
        (row,) = (row for score, row in shown.items() if score.lower().startswith(name))
        assert (row["generated"], row["real"]) == (f"{half[name]:.4f}", f"{half['real_halves'][name]:.4f}")
    rows = {row["class"]: row for row in page.rows("Classes")}
    assert rows["above"]["note"] == "✗ missing"
    assert {name: row["share"] for name, row in rows.items()} == {
        name: f"{share:.2%}" for name, share in half["classes"]["shares"].items()
    }
    for note in half["notes"]:
        assert note in page.text
    assert len(half["notes"]) == 2  # few images on both sides; the classifier tells its two classes well


def test_evaluate_returns_what_it_writes(classes: Path, tmp_path: Path) -> None:
    found = evaluate(EvaluateOptions(classes / "left", str(classes), samples=64, out=tmp_path / "out"))
    (line,) = (tmp_path / "out/metric-classifier.jsonl").read_text().splitlines()
    value = json.loads(line)
    assert value.pop("time") > 0
    assert json.loads(json.dumps(found.to_json())) == value
    assert (found.kimg, found.image, found.measured.samples, found.measured.real) == (
        None,
        (32, 32, 1),
        20,
        40,
    )
    assert found.measured.classes
    assert found.measured.classes.missing == ["above"]
    assert found.nearest.is_file()
    for text in (
        "20 images of 32×32×1 against 40 of data",
        "Fréchet distance, 0 is best",
        "; missing: above",
    ):
        assert text in found.table()


def test_class_names_and_transparency_in_the_report(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["<script>x</script>", '" onload="x', "</table><!--"]
    (tmp_path / "data").mkdir()
    for index in range(24):  # not square, transparent in part
        image = rng.integers(0, 256, (16, 24, 4)).astype(np.uint8)
        image[:, :12, 3] = 0
        Image.fromarray(image).save(tmp_path / f"data/{index}.png")
    labels = [[f"{index}.png", index % 3] for index in range(24)]
    (tmp_path / "data/dataset.json").write_text(json.dumps({"labels": labels, "class_names": names}))
    run_gantool("evaluate", "data", "--data", "data", "--html", "e.html", cwd=tmp_path, check=True)
    page = Report.read(tmp_path / "e.html")
    assert page.elements["script"] == 0
    assert not [each for each in page.attributes if each[1].startswith("on")]
    assert {row["class"] for row in page.rows("Classes")} in ({*names}, {"0", "1", "2"})
    assert page.pictures()["generated image 0"].shape == (16, 24, 4)
    checkered = [value for tag, name, value in page.attributes if (tag, name) == ("img", "class")]
    assert {*checkered} == {"pixels checkerboard"}


def test_a_classifier_that_tells_nothing_is_no_judge(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for index in range(20):  # flat ones look the same however they are turned
        Image.new("L", (32, 32), 10 * index).save(data / f"{index}.png")
    for index in range(2):
        Image.new("L", (1, 1)).save(data / f"00{index}.png")
    for _ in range(2):  # the second time it comes from the cache
        result = run_gantool("evaluate", data, "--data", data, cwd=tmp_path, check=True)
        assert "note: the classifier is right about" in result.stdout
        assert "20 images of 32×32×1 against 20" in result.stdout
        assert "000.png: it is 1×1 pixels" in result.stderr


def test_labels_come_from_folders_and_from_dataset_json(classes: Path) -> None:
    labels = load_images(str(classes), square(32)).labels
    assert labels
    assert labels.classes == ("above", "left")
    assert labels.values.tolist() == [0] * 20 + [1] * 20
    names = sorted(path.relative_to(classes).as_posix() for path in classes.rglob("*.png"))
    (classes / "dataset.json").write_text(
        json.dumps({"labels": [[name, i % 3] for i, name in enumerate(names)]})
    )
    (classes / names[0]).write_bytes(b"damaged")
    labels = load_images(str(classes), square(32)).labels
    assert labels
    assert labels.values.tolist() == [index % 3 for index in range(40)][1:]
    (classes / "dataset.json").write_text("{")
    with logged(logging.WARNING) as notes:
        assert load_images(str(classes), square(32)).labels is None
    assert "dataset.json is damaged" in "".join(notes)


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.FLOAT])
def test_features_of_a_graph(trained: Path, tmp_path: Path, kind: int) -> None:
    shape: list[str | int] = ["N", 16, 16, 1] if kind == TensorProto.UINT8 else ["N", 1, 16, 16]
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["rows"], axes=[1, 3] if kind == 2 else [1, 2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, None)],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "rows.onnx")
    result = run_gantool(
        "evaluate", *trained.glob("runs/*"), "--features", tmp_path / "rows.onnx", "--samples", "16",
        "-o", tmp_path, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert "Fréchet distance" in result.stdout
    assert (tmp_path / "metric-rows.jsonl").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere",), 1, "nowhere: there is no such file or folder"),
        (("RUN", "--samples", "3"), 2, "--samples 3: give at least 16"),
        (("RUN", "--features", "vgg"), 2, "--features vgg: give classifier, inception or"),
        (("RUN", "--features", "x.onnx"), 1, "--features x.onnx: there is no such file"),
        (("GRAPH",), 2, "are not known: give --data"),
        (("EMPTY",), 1, "holds no checkpoint"),
    ],
)
def test_what_cannot_be_evaluated(
    trained: Path, exported: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (run,) = (trained / "runs").iterdir()
    (tmp_path / "empty").mkdir()
    known = {"RUN": run, "GRAPH": exported / "g.onnx", "EMPTY": tmp_path / "empty"}
    result = run_gantool("evaluate", *(known.get(each, each) for each in arguments), cwd=tmp_path)
    assert (result.returncode, "Traceback" in result.stderr) == (code, False)
    assert message in result.stderr


def test_inception_that_is_not_installed(tmp_path: Path) -> None:
    if find_spec("torch_fidelity"):
        pytest.skip("it is installed")
    for index in range(16):
        Image.new("L", (32, 32), 15 * index).save(tmp_path / f"{index}.png")
    result = run_gantool("evaluate", tmp_path, "--data", tmp_path, "--features", "inception", cwd=tmp_path)
    assert result.returncode == 5
    assert pip_install("inception") in result.stderr
