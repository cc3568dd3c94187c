"""Images with their classes, through `gantool generate`: names, folders, labels, and back into a data set."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import run_gantool
from end_to_end.test_networks import save_lived_in
from gantool.models import save_checkpoint
from gantool.runtime import Generator, Spec
from gantool.runtime.classes import Shares, parse_classes, safe_names
from gantool.runtime.errors import UsageError
from gantool.train.data.labels import Labels
from gantool.train.data.sources import find_source
from helpers.tiny import tiny_graph

NAMES = ["T-shirt/top", "con", "Ärmel, rot"]
SAFE = ["T-shirt_top", "con_1", "Ärmel_rot"]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a graph of three classes, whose names are hard for files; half of the training images were of one."""
    folder = tmp_path_factory.mktemp("conditional")
    generator = save_lived_in(folder / "c.safetensors", {"classes": 3})
    save_checkpoint(folder / "c.safetensors", generator, 0, "noise", tuple(NAMES), (10, 20, 10))
    run_gantool("export", "c.safetensors", "--engine", "none", cwd=folder, check=True)
    return folder / "g.onnx"


def generate(graph: Path, folder: Path, *flags: str, code: int = 0) -> str:
    """Run the command; return what it says: its summary, or its error."""
    result = run_gantool("generate", "-q", "-e", graph, *flags, cwd=folder)
    assert result.returncode == code, result.stderr
    return result.stderr if code else result.stdout


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def labels_in(source: Path) -> tuple[list[str], Labels]:
    with find_source(str(source)).open() as listing:
        labels = listing.labels()
    assert labels
    return listing.names, labels


def image(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_each_seed_in_each_class_in_one_folder(graph: Path, tmp_path: Path) -> None:
    said = generate(graph, tmp_path, "--class", "ärmel, ROT", "--seeds", "3,8", "-o", "one")
    assert said == "2 images of 16×16×1, class 2 (Ärmel, rot) in one\n"
    assert files(tmp_path / "one") == ["dataset.json", "seed0003.png", "seed0008.png"]
    said = generate(graph, tmp_path, "--class", "2,con", "--seeds", "3,8", "-o", "two")
    assert said == "4 images of 16×16×1 of 2 classes in two\n"
    made = [f"seed000{seed}-{name}.png" for seed in (3, 8) for name in (SAFE[1], SAFE[2])]
    assert files(tmp_path / "two") == sorted(["dataset.json", *made])
    with Generator.load(graph) as generator:
        for label in (1, 2):
            expected = generator.images([3, 8], label=label)[..., 0]
            for seed, pixels in zip((3, 8), expected, strict=True):
                found = image(tmp_path / f"two/seed000{seed}-{SAFE[label]}.png")
                np.testing.assert_array_equal(found, pixels)
    np.testing.assert_array_equal(image(tmp_path / "one/seed0003.png"), image(tmp_path / f"two/{made[1]}"))


def test_folders_of_classes_are_read_back_as_classes(graph: Path, tmp_path: Path) -> None:
    generate(graph, tmp_path, "--per-class", "7", "--layout", "folders", "--grid", "4x4")
    folder = tmp_path / "images"
    assert files(folder) == sorted(
        ["dataset.json", "grid.png", *(f"{name}/seed{seed:04d}.png" for name in SAFE for seed in range(7))]
    )
    content = json.loads((folder / "dataset.json").read_text())
    assert content["class_names"] == NAMES
    assert content["labels"][7] == ["con_1/seed0000.png", 1]
    names, labels = labels_in(folder)
    assert labels.classes == tuple(NAMES)
    assert [SAFE[label] for label in labels.values] == [name.split("/")[0] for name in names]
    run_gantool("data", "images", "-o", "set.zip", cwd=tmp_path, check=True)
    assert labels_in(tmp_path / "set.zip")[1].classes == tuple(NAMES)


def test_classes_of_seeds_in_folders_and_in_one(graph: Path, tmp_path: Path) -> None:
    generate(graph, tmp_path, "--seeds", "0-3", "--layout", "folders", "-o", "folders")
    assert [name for name in files(tmp_path / "folders") if name.endswith("3.png")] == [
        "T-shirt_top/seed0003.png"
    ]
    generate(graph, tmp_path, "--seeds", "0-3", "-o", "flat")
    assert files(tmp_path / "flat") == ["dataset.json", *(f"seed000{seed}.png" for seed in range(4))]
    assert json.loads((tmp_path / "flat/dataset.json").read_text())["labels"] == [
        [f"seed000{seed}.png", seed % 3] for seed in range(4)
    ]


def test_the_labels_of_arrays_and_tars_are_read_back(graph: Path, tmp_path: Path) -> None:
    flags = ("--class", "all", "--seeds", "5-10")
    generate(graph, tmp_path, *flags, "--format", "npy", "-o", "npy")
    generate(graph, tmp_path, *flags, "--format", "npy", "--shard", "2/3", "-o", "npy")
    generate(graph, tmp_path, *flags, "--format", "tar", "--shard-size", "5", "-o", "tar")
    _, labels = labels_in(tmp_path / "npy/images.npy")
    assert (labels.classes, labels.values.tolist()) == (tuple(NAMES), [0] * 6 + [1] * 6 + [2] * 6)
    _, labels = labels_in(tmp_path / "npy/images-2of3.npy")
    assert labels.values.tolist() == [0, 0, 1, 1, 2, 2]
    names, labels = labels_in(tmp_path / "tar")
    assert labels.classes == tuple(NAMES)
    assert [SAFE[label] in name for label, name in zip(labels.values, names, strict=True)] == [True] * 18
    with tarfile.open(tmp_path / "tar/images-000001.tar") as tar:
        assert tar.getnames()[:3] == [f"seed0010-{SAFE[0]}.{end}" for end in ("png", "cls", "json")]
        about = tar.extractfile(f"seed0010-{SAFE[0]}.json")
        assert about
        said = json.load(about)
        assert said.pop("mark")["record"]["class"] == 0
        assert said == {"seed": 10, "class": 0, "class_name": NAMES[0]}


def test_names_of_a_webdataset_end_at_their_first_point(graph: Path, tmp_path: Path) -> None:
    generate(graph, tmp_path, "--seeds", "1*0.5+2*0.25,3~9", "--steps", "2", "--format", "tar")
    with tarfile.open(tmp_path / "images/images-000000.tar") as tar:
        names = tar.getnames()
        about = tar.extractfile("seed1x0_5+2x0_25.json")
        assert about
        assert json.load(about)["seed"] == "1*0.5+2*0.25"
    assert all(name.count(".") == 1 for name in names)


def test_shards_of_files_share_one_file_of_all_labels(graph: Path, tmp_path: Path) -> None:
    flags = ("--per-class", "5", "-o")
    generate(graph, tmp_path, *flags, "whole")
    for part in ("2/3", "1/3", "3/3"):
        generate(graph, tmp_path, *flags, "parts", "--shard", part)
    assert files(tmp_path / "whole") == files(tmp_path / "parts")
    for name in files(tmp_path / "whole"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_labels_of_other_images_of_a_folder_stay(graph: Path, tmp_path: Path) -> None:
    for flags in (
        ("--class", "0"),
        ("--class", "1,2", "--format", "webp"),
        ("--seeds", "70", "--class", "2"),
    ):
        generate(graph, tmp_path, *flags, "-o", "set")
    generate(graph, tmp_path, "--class", "0", "--format", "npy", "-o", "set")
    names, labels = labels_in(tmp_path / "set")
    assert len(names) == 64 + 128 + 1
    assert labels.counts == (64, 64, 65)
    (tmp_path / "set/seed0070.png").unlink()
    generate(graph, tmp_path, "--class", "0", "-o", "set", "--force")
    content = json.loads((tmp_path / "set/dataset.json").read_text())
    assert len(content["labels"]) == 64 + 128 + 64
    (tmp_path / "set/dataset.json").write_text('{"labels": [["seed0000.png", 0]], "class_names": ["x"]}')
    for more in ((), ("--resume",)):
        said = generate(graph, tmp_path, "--seeds", "99", "-o", "set", *more, code=2)
        assert "set/dataset.json does not hold labels of these classes" in said
        assert "or give --force to overwrite it" in said


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"labels": null}', "[" * 99999, '{"labels": [\n', '{"labels": [\nx]}']
)
def test_a_file_of_labels_that_is_none_is_left_as_it_is(text: str, graph: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/dataset.json").write_text(text)
    said = generate(graph, tmp_path, "--seeds", "0", "-o", "set", code=2)
    assert "set/dataset.json does not hold labels of these classes" in said
    assert (tmp_path / "set/dataset.json").read_text() == text
    generate(graph, tmp_path, "--seeds", "0", "-o", "set", "--force")
    assert json.loads((tmp_path / "set/dataset.json").read_text())["labels"] == [["seed0000.png", 0]]


def test_labels_of_another_tool_without_names_of_classes(graph: Path, tmp_path: Path) -> None:
    model = onnx.load(graph)
    (entry,) = (entry for entry in model.metadata_props if entry.key == "gantool")
    entry.value = json.dumps({**json.loads(entry.value), "class_names": None})
    onnx.save(model, tmp_path / "g.onnx")
    generate(tmp_path / "g.onnx", tmp_path, "--seeds", "7", "--layout", "folders", "-o", "set")
    (tmp_path / "set/dataset.json").write_text('{"labels": [["1/seed0007.png", 1], ["gone.png", 2]]}')
    generate(tmp_path / "g.onnx", tmp_path, "--seeds", "0-1", "--class", "all", "-o", "set")
    content = json.loads((tmp_path / "set/dataset.json").read_text())
    assert content["labels"][:2] == [["1/seed0007.png", 1], ["seed0000-0.png", 0]]
    assert content.keys() == {"labels"}


@pytest.mark.parametrize("form", ["png", "npy", "tar"])
def test_resume_with_classes_gives_the_same_files(form: str, graph: Path, tmp_path: Path) -> None:
    flags = ("--per-class", "4", "--format", form, "--shard-size", "5")
    generate(graph, tmp_path, *flags)
    folder = tmp_path / "images"
    whole = {name: (folder / name).read_bytes() for name in files(folder)}
    for name in list(whole)[:2]:
        (folder / name).unlink()
    generate(graph, tmp_path, *flags, "--resume")
    assert {name: (folder / name).read_bytes() for name in files(folder)} == whole


def test_a_tar_of_an_earlier_gantool_is_not_mixed_with_labelled_ones(graph: Path, tmp_path: Path) -> None:
    """Until it had labels, a tar of a conditional generator held images alone."""
    flags = ("--seeds", "0-5", "--format", "tar", "--shard-size", "3")
    generate(graph, tmp_path, *flags)
    folder = tmp_path / "images"
    whole = {name: (folder / name).read_bytes() for name in files(folder)}
    for name, content in whole.items():
        with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(folder / name, "w") as new:
            for member in old:
                if member.name.endswith(".png"):
                    new.addfile(member, old.extractfile(member))
    said = generate(graph, tmp_path, *flags, "--resume")
    assert "0 of them were already there" in said
    assert {name: (folder / name).read_bytes() for name in files(folder)} == whole
    assert "is not the image" in generate(graph, tmp_path, *flags, "--class", "2", "--resume", code=2)


def test_a_tar_without_classes_has_the_bytes_that_it_had(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    flags = ("--seeds", "0-9", "--mark", "none", "--format")
    for form in ("png", "tar"):
        generate(tmp_path / "g.onnx", tmp_path, *flags, form)
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for seed in range(10):
            data = (tmp_path / f"images/seed{seed:04d}.png").read_bytes()
            member = tarfile.TarInfo(f"seed{seed:04d}.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    assert (tmp_path / "images/images-000000.tar").read_bytes() == expected.getvalue()
    assert files(tmp_path / "images") == ["images-000000.tar", *(f"seed{seed:04d}.png" for seed in range(10))]


def test_a_tar_without_classes_is_data_without_a_remark(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    generate(tmp_path / "g.onnx", tmp_path, "--seeds", "0-29", "--format", "tar")
    result = run_gantool("data", "images/images-000000.tar", "--size", "16", cwd=tmp_path, check=True)
    assert "30 images" in result.stdout + result.stderr
    assert "not read" not in result.stderr


def test_the_shares_of_the_training_data(graph: Path, tmp_path: Path) -> None:
    with Generator.load(graph) as generator:
        assert generator.spec.class_counts == (10, 20, 10)
    generate(graph, tmp_path, "--seeds", "0-399", "--balance", "data", "--format", "npy")
    _, labels = labels_in(tmp_path / "images/images.npy")
    assert max(abs(np.array(labels.counts) - (100, 200, 100))) <= 3
    # as the manual defines it
    for seed, label in enumerate(labels.values):
        place = seed * 2654435769 % 2**32 * 40
        assert label == next(number for number, end in enumerate((10, 30, 40)) if place < end * 2**32)
    generate(graph, tmp_path, "--seeds", "0-3", "--balance", "even", "-o", "even")
    assert Counter(
        name for _, name in json.loads((tmp_path / "even/dataset.json").read_text())["labels"]
    ) == {
        0: 2,
        1: 1,
        2: 1,
    }


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40).filter(any), st.integers(0, 2**32 - 1))
def test_a_class_without_images_has_no_seeds(counts: list[int], seed: int) -> None:
    assert counts[Shares(counts)(seed)] > 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--class Con,d", "--class d: the classes of this engine are 0 T-shirt/top, 1 con, 2 Ärmel, rot"),
        ("--class t-shirt", "did you mean T-shirt/top?"),
        ("--class 0-3", "--class 3: the classes of this engine are"),
        ("--class 2-0", "the range 2-0 runs backwards; write 0-2"),
        ("--class 0,,1", "--class '0,,1': a class is missing; write them as in"),
        ("--per-class 0", "--per-class 0: give a whole number from 1"),
        ("--per-class 5 --seeds 0-4", "--seeds and --per-class both say"),
        ("--per-class 5 --balance data", "--balance data chooses the class of a seed"),
        ("--class 1 --balance even", "--balance even chooses the class of a seed"),
        ("--layout folders --format tar", "--layout folders is for files of images"),
        ("--layout sorted", "choose flat, folders"),
        ("--resume --force", "give one"),
    ],
)
def test_what_is_refused(flags: str, says: str, graph: Path, tmp_path: Path) -> None:
    assert says in generate(graph, tmp_path, *flags.split(" "), code=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", ["--class 0", "--per-class 5", "--balance even", "--layout folders"])
def test_a_generator_without_classes_takes_no_flags_of_classes(flags: str, tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph())
    said = generate(tmp_path / "g.onnx", tmp_path, *flags.split(), code=2)
    assert f"{flags} is for conditional generators: this engine takes no label" in said


def test_shares_that_an_older_graph_does_not_have(graph: Path, tmp_path: Path) -> None:
    model = onnx.load(graph)
    (entry,) = (entry for entry in model.metadata_props if entry.key == "gantool")
    metadata = json.loads(entry.value)
    for counts in (None, [1, 2], [0, 0, 0], [1, -1, 3], "abc"):
        entry.value = json.dumps({**metadata, "class_counts": counts})
        onnx.save(model, tmp_path / "old.onnx")
        said = generate(tmp_path / "old.onnx", tmp_path, "--balance", "data", code=2)
        assert "--balance data: the engine does not say how many training images each class had" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", (0, 1, 2, 3)),
        ("ALL", (0, 1, 2, 3)),
        ("2-3,0", (2, 3, 0)),
        ("b,a,B,1", (1, 0)),
        ("a,b", (2,)),  # the whole is a name
        ("0-1", (3,)),
        (" 0 , 1-2 ", (0, 1, 2)),
    ],
)
def test_classes_as_people_write_them(text: str, expected: tuple[int, ...]) -> None:
    assert parse_classes(text, Spec(2, 4, 4, 3, classes=4, class_names=("a", "b", "a,b", "0-1"))) == expected


def test_classes_of_an_engine_that_does_not_say_how_many() -> None:
    spec = Spec(2, 4, 4, 3, classes=None)
    assert parse_classes("3,5-6", spec) == (3, 5, 6)
    with pytest.raises(UsageError, match="does not say how many"):
        parse_classes("all", spec)


@given(st.lists(st.text(max_size=80), max_size=12))
def test_names_for_files_are_unique_and_safe_everywhere(names: list[str]) -> None:
    safe = safe_names(names)
    assert len({name.casefold() for name in safe}) == len(names)
    for name in safe:
        assert name
        assert len(name.encode()) <= 80
        assert not set(name) & set('<>:"/\\|?*. ')
        assert name.isprintable()
        assert not name.startswith(("-", "."))
        assert name.upper() not in ("CON", "PRN", "AUX", "NUL", "COM1", "LPT1")


def test_names_that_collide() -> None:
    names = ["a b", "a_b", "A/B", "", "4", "Boot", "boot ", "NUL", "5"]
    assert safe_names(names) == ("a_b", "a_b_1", "A_B_2", "3", "4", "Boot", "boot_6", "NUL_7", "5_8")
