"""`gantool generate` never overwrites the images of another run silently; z from a file, and z to a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import run_gantool
from gantool.runtime import Generator
from helpers.tiny import LATENT, tiny_graph


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "g.onnx"
    path.write_bytes(tiny_graph())
    return path


def generate(graph: Path, folder: Path, *flags: str | Path, code: int = 0) -> str:
    """Run the command; return what it says: its summary, or its error."""
    result = run_gantool("generate", "-q", "-e", graph, *flags, cwd=folder)
    assert result.returncode == code, result.stderr
    return result.stderr if code else result.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.parametrize("form", ["png", "webp", "npy", "tar"])
def test_a_bare_run_takes_a_new_folder(form: str, graph: Path, tmp_path: Path) -> None:
    flags = ("--format", form, "--seeds")
    assert generate(graph, tmp_path, *flags, "0-3") == "4 images of 4×4×3 in images\n"
    before = contents(tmp_path / "images")
    said = generate(graph, tmp_path, *flags, "3-6")
    assert said == "4 images of 4×4×3 in images2, because images already has some of them\n"
    assert "in images3," in generate(graph, tmp_path, *flags, "3", "--trunc", "0.5")
    assert contents(tmp_path / "images") == before


def test_other_images_of_a_folder_stay(graph: Path, tmp_path: Path) -> None:
    for seeds in ("0-3", "4-7"):
        assert generate(graph, tmp_path, "--seeds", seeds) == "4 images of 4×4×3 in images\n"
    assert "in images\n" in generate(graph, tmp_path, "--seeds", "0-3", "--format", "webp")
    assert len(contents(tmp_path / "images")) == 12


@pytest.mark.parametrize(
    ("form", "first"), [("png", "seed0002.png"), ("npy", "images.npy"), ("tar", "images-000000.tar")]
)
def test_a_folder_that_was_named_is_not_overwritten(
    form: str, first: str, graph: Path, tmp_path: Path
) -> None:
    flags = ("-o", "out", "--format", form, "--seeds")
    generate(graph, tmp_path, *flags, "0-3")
    before = contents(tmp_path / "out")
    for again in ("2-3", "2-9"):
        said = generate(graph, tmp_path, *flags, again, code=2)
        assert f"--out out already has {first}: give --resume to make only what is missing, --force" in said
    assert contents(tmp_path / "out") == before
    assert "4 of them were already there" in generate(graph, tmp_path, *flags, "0-3", "--resume")
    assert contents(tmp_path / "out") == before
    generate(graph, tmp_path, *flags, "0-3", "--trunc", "0.1", "--force")
    after = contents(tmp_path / "out")
    assert after.keys() == before.keys()
    assert after != before


def test_a_part_of_an_array_is_not_overwritten(graph: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/images.npy.part").write_bytes(b"x")
    said = generate(graph, tmp_path, "-o", "out", "--format", "npy", code=2)
    assert "--out out already has images.npy.part: give --resume" in said


def test_sheets_and_z_are_not_overwritten(graph: Path, tmp_path: Path) -> None:
    for flags, name in ((("--grid", "2x2"), "grid.png"), (("--dump-z",), "z.npy")):
        generate(graph, tmp_path, "--seeds", "0-3", "-o", name, *flags)
        said = generate(graph, tmp_path, "--seeds", "4-7", "-o", name, *flags, code=2)
        assert f"--out {name} already has {name}" in said


def test_a_bare_resume_goes_on_in_the_last_folder(graph: Path, tmp_path: Path) -> None:
    assert "in images," in generate(graph, tmp_path, "--seeds", "0-3", "--resume")
    generate(graph, tmp_path, "--seeds", "0-3")
    (tmp_path / "images2/seed0002.png").unlink()
    said = generate(graph, tmp_path, "--seeds", "0-3", "--resume")
    assert said == "4 images of 4×4×3 in images2, 3 of them were already there\n"
    generate(graph, tmp_path, "--seeds", "0-3", "--trunc", "0", "--force", "--mark", "none")
    assert len({path.read_bytes() for path in (tmp_path / "images").iterdir()}) == 1
    assert len({path.read_bytes() for path in (tmp_path / "images2").iterdir()}) == 4


def test_z_that_was_dumped_gives_the_same_images(graph: Path, tmp_path: Path) -> None:
    flags = ("--seeds", "0,1+2,3~9", "--steps", "4", "--trunc", "0.7")
    generate(graph, tmp_path, *flags, "--dump-z", "--format", "npy", "-o", "seeds")
    z = np.load(tmp_path / "seeds/z.npy")
    with Generator.load(graph) as generator:
        np.testing.assert_array_equal(z, generator.z("0,1+2,3~9@1of4,3~9@2of4,3~9@3of4,9", truncation=0.7))
    generate(graph, tmp_path, "--z", "seeds/z.npy", "--format", "npy", "-o", "z")
    np.save(tmp_path / "double.npy", z.astype(float)[:, ::-1].copy()[:, ::-1])  # another type and order
    generate(graph, tmp_path, "--z", "double.npy", "--format", "npy", "-o", "double")
    images = (tmp_path / "seeds/images.npy").read_bytes()
    assert (tmp_path / "z/images.npy").read_bytes() == images
    assert (tmp_path / "double/images.npy").read_bytes() == images
    generate(graph, tmp_path, "--z", "seeds/z.npy", "-o", "files")
    assert sorted(contents(tmp_path / "files")) == [f"z{number:06d}.png" for number in range(6)]


def test_shards_of_z(graph: Path, tmp_path: Path) -> None:
    z = np.random.default_rng(0).normal(size=(50, LATENT)).astype(np.float32)
    np.save(tmp_path / "z.npy", z)
    for part in ("1/3", "2/3", "3/3"):
        generate(graph, tmp_path, "--z", "z.npy", "--shard", part, "--dump-z", "-o", "parts")
    assert len(list((tmp_path / "parts").glob("*.png"))) == 50
    np.testing.assert_array_equal(np.load(tmp_path / "parts/z-2of3.npy"), z[1::3])
    (tmp_path / "parts/z000004.png").unlink()
    said = generate(graph, tmp_path, "--z", "z.npy", "-o", "parts", "--resume")
    assert "49 of them were already there" in said


def test_variations_and_walks_have_files_by_their_names(graph: Path, tmp_path: Path) -> None:
    said = generate(graph, tmp_path, "--near", "5", "--spread", "0.1", "--count", "3")
    assert said.startswith("3 images")
    generate(graph, tmp_path, "--seeds", "3~9", "--steps", "10")
    generate(graph, tmp_path, "--seeds", "3*0.7+9*0.3")
    names = sorted(contents(tmp_path / "images"))
    assert names == sorted(
        [
            "seed0005.png",
            "seed5x0.9877+0x0.1564.png",
            "seed5x0.9877+1x0.1564.png",
            *(f"seed3~9@{number:02d}of10.png" for number in range(1, 11)),
            "seed3x0.7+9x0.3.png",
        ]
    )
    generate(graph, tmp_path, "--seeds", "5x0.9877+1x0.1564", "-o", "one")
    name = "seed5x0.9877+1x0.1564.png"
    assert contents(tmp_path / "one")[name] == contents(tmp_path / "images")[name]


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        ("--z none.npy", 1, "--z none.npy: there is no such file"),
        ("--z text.npy", 1, "--z text.npy is not an .npy file"),
        ("--z cut.npy", 1, "--z cut.npy cannot be read as an array"),
        ("--z other.npy", 2, "this engine takes numbers, float32 [N, 6]"),
        ("--z nan.npy", 2, "row 1 has NaN"),
        ("--z z.npy --seeds 0", 2, "--seeds and --z both say"),
        ("--z z.npy --near 0", 2, "--near and --z both say"),
        ("--z z.npy --trunc 0.5", 2, "leave --trunc and --trunc-resample out"),
        ("--near 3 --seeds 1", 2, "--seeds and --near both say"),
        ("--near 3~9", 2, "--near 3~9: give one seed, as in 42, or one mix"),
        ("--near 3 --spread 2", 2, "--spread 2: give a number from 0.001 to 1"),
        ("--near 3 --count 0", 2, "--count 0: give a whole number"),
        ("--count 3", 2, "--count 3 is for --near"),
        ("--spread 0.5", 2, "--spread 0.5 is for --near"),
        ("--near 3 --steps 3", 2, "--steps 3 is for --seeds"),
        ("--seeds 3 --steps 3", 2, "--steps 3 is for walks, as in 3~9"),
        ("--seeds 3~9 --steps 1", 2, "--steps 1: give a whole number from 2"),
        ("--trunc-resample 0.5 --trunc 0.5", 2, "--trunc 0.5 and --trunc-resample 0.5: give one"),
        ("--trunc-resample 0", 2, "--trunc-resample 0: give a number from 0.01"),
        ("--dump-z -o -", 2, "--dump-z is for files"),
    ],
)
def test_what_is_refused(flags: str, code: int, says: str, graph: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "z.npy", np.zeros((2, LATENT)))
    np.save(tmp_path / "other.npy", np.zeros((2, LATENT + 1)))
    np.save(tmp_path / "nan.npy", [[0.0] * LATENT, [np.nan] * LATENT])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "z.npy").read_bytes()[:-3])
    (tmp_path / "text.npy").write_text("0 0 0")
    assert says in generate(graph, tmp_path, *flags.split(), code=code)
    assert not (tmp_path / "images").exists()


def test_resampled_images_are_those_of_resampled_z(graph: Path, tmp_path: Path) -> None:
    generate(graph, tmp_path, "--trunc-resample", "0.5", "--dump-z", "--format", "npy")
    z = np.load(tmp_path / "images/z.npy")
    assert np.abs(z).max() <= 0.5
    with Generator.load(graph) as generator:
        np.testing.assert_array_equal(np.load(tmp_path / "images/images.npy"), generator.images(z=z))
