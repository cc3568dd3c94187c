"""What `gantool generate` writes, through its command line: formats, shards, resuming."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import run_gantool
from gantool.runtime import Generator
from gantool.runtime.errors import GantoolError
from gantool.runtime.items import Item, Items
from gantool.runtime.outputs.base import FORMATS, Output, Target
from gantool.runtime.outputs.encoding import Encoding, Name
from gantool.runtime.outputs.formats import OUTPUTS
from gantool.runtime.outputs.npy import NpyArray, array_header
from gantool.runtime.request import Format
from gantool.runtime.seeds import Seeds
from gantool.runtime.spec import Spec
from helpers.tiny import tiny_graph


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a graph of 4×4 RGB images."""
    path = tmp_path_factory.mktemp("graph") / "g.onnx"
    path.write_bytes(tiny_graph())
    return path


@pytest.fixture(scope="module")
def images(graph: Path) -> np.ndarray:
    """Return the images of seeds 0 to 49."""
    with Generator.load(graph) as generator:
        return generator.images(range(50))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    "flags",
    [
        ["--format", "png"],
        ["--format", "png", "--level", "9", "--threads", "3", "--batch", "7"],
        ["--format", "webp"],
        ["--format", "webp", "--level", "6", "--batch", "1"],
    ],
    ids=" ".join,
)
def test_lossless_files_hold_the_images_of_their_seeds(
    flags: list[str], graph: Path, images: np.ndarray, tmp_path: Path
) -> None:
    run_gantool("generate", "-e", graph, "--seeds", "0-24,40", *flags, cwd=tmp_path, check=True)
    seeds = [*range(25), 40]
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == [f"seed{seed:04d}.{flags[1]}" for seed in seeds]
    for seed, name in zip(seeds, names, strict=True):
        np.testing.assert_array_equal(pixels(tmp_path / "images" / name), images[seed])


def test_quality_of_jpeg(graph: Path, images: np.ndarray, tmp_path: Path) -> None:
    distance = {}
    for quality in ("20", "95"):
        flags = ("--format", "jpg", "--quality", quality, "--seeds", "0-3", "--out", quality)
        run_gantool("generate", "-e", graph, *flags, cwd=tmp_path, check=True)
        found = np.stack([pixels(tmp_path / quality / f"seed{seed:04d}.jpg") for seed in range(4)])
        distance[quality] = np.abs(found.astype(int) - images[:4]).mean()
    assert distance["95"] < distance["20"]


def test_tar_is_a_webdataset_in_the_order_of_the_seeds(
    graph: Path, images: np.ndarray, tmp_path: Path
) -> None:
    flags = ("--seeds", "0-24", "--format", "tar", "--shard-size", "10", "--batch", "4")
    for out in ("one", "two"):
        run_gantool("generate", "-e", graph, *flags, "--out", out, cwd=tmp_path, check=True)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["images-000000.tar", "images-000001.tar", "images-000002.tar"]
    seeds = iter(range(25))
    for name in names:
        data = (tmp_path / "one" / name).read_bytes()
        assert data == (tmp_path / "two" / name).read_bytes()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            images_alone = (member for member in tar if not member.name.endswith(".json"))
            for member, seed in zip(images_alone, seeds, strict=False):
                assert member.name == f"seed{seed:04d}.png"
                packed = tar.extractfile(member)
                assert packed
                with Image.open(packed) as image:
                    np.testing.assert_array_equal(np.asarray(image), images[seed])
    assert next(seeds, None) is None


def test_raw_frames_go_to_stdout_and_the_rest_to_stderr(
    graph: Path, images: np.ndarray, tmp_path: Path
) -> None:
    command: list[str | Path] = [sys.executable, "-m", "gantool", "generate", "-e", graph, "--seeds", "3-11"]
    for flags in (["--out", "-"], ["--format", "-"]):
        result = subprocess.run([*command, *flags], cwd=tmp_path, capture_output=True, check=True)
        assert result.stdout == images[3:12].tobytes()
        assert b"-pixel_format rgb24 -video_size 4x4" in result.stderr
        assert b"width=4 height=4 format=rgb" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_reader_of_raw_frames_that_ends(graph: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "gantool",
        "generate",
        "-e",
        graph,
        "--seeds",
        "0-999999",
        "-o",
        "-",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert len(process.stdout.read(100)) == 100
    process.stdout.close()
    assert process.stderr is not None
    message = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 1
    assert "the program that reads the frames ended" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("kind", ["npy", "-"])
def test_memory_does_not_grow_with_the_number_of_images(kind: str, graph: Path, tmp_path: Path) -> None:
    script = (
        "import resource, sys\nfrom gantool.__main__ import main\n"
        "try: main()\nexcept SystemExit as error: assert not error.code, error.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    peaks = []
    for seeds in ("0-999", "0-149999"):
        flags: list[str | Path] = ["generate", "-e", graph, "--format", kind, "--seeds", seeds]
        result = subprocess.run(
            [sys.executable, "-c", script, *flags], cwd=tmp_path, capture_output=True, check=True
        )
        peaks.append(int(result.stderr.split()[-1]))  # KiB
    assert peaks[1] - peaks[0] < 3_000  # a seed that is kept takes 40 bytes: 6,000


def test_shards_together_are_the_whole(graph: Path, tmp_path: Path) -> None:
    run_gantool("generate", "-e", graph, "--seeds", "5-24", "-o", "whole", cwd=tmp_path, check=True)
    for index in (2, 3, 1):
        flags = ("--seeds", "5-24", "--shard", f"{index}/3", "--out", "parts")
        run_gantool("generate", "-e", graph, *flags, cwd=tmp_path, check=True)
        run_gantool("generate", "-e", graph, *flags, "--format", "npy", cwd=tmp_path, check=True)
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "parts" / path.name).read_bytes() == path.read_bytes()
    assert len(list(tmp_path.glob("parts/*.png"))) == 20
    arrays = [np.load(tmp_path / f"parts/images-{index}of3.npy") for index in (1, 2, 3)]
    assert sum(map(len, arrays)) == 20


@pytest.mark.parametrize("kind", ["tar", "npy"])
def test_shards_of_another_number_never_share_a_folder(kind: str, graph: Path, tmp_path: Path) -> None:
    """Together they would hold images twice."""
    flags = ("generate", "-e", graph, "--seeds", "0-9", "--format", kind)
    run_gantool(*flags, "--shard", "1/3", "--out", "parts", cwd=tmp_path, check=True)
    before = sorted((tmp_path / "parts").iterdir())
    for more in ((), ("--resume",)):
        result = run_gantool(*flags, "--shard", "1/4", "--out", "parts", *more, cwd=tmp_path)
        assert result.returncode == 2
        assert "--shard 1/4: parts/images-1of3" in result.stderr
        assert "is of another number of shards, so parts would have images twice" in result.stderr
    assert sorted((tmp_path / "parts").iterdir()) == before
    run_gantool(*flags, "--shard", "2/3", "--out", "parts", "--resume", cwd=tmp_path, check=True)
    run_gantool(*flags, "--shard", "1/3", cwd=tmp_path, check=True)
    assert "in images2, because" in run_gantool(*flags, "--shard", "1/4", cwd=tmp_path, check=True).stdout


def test_a_shard_without_seeds_is_no_failure(graph: Path, tmp_path: Path) -> None:
    flags = ("--seeds", "0-2", "--shard", "9/9", "--grid", "2x2")
    result = run_gantool("generate", "-e", graph, *flags, cwd=tmp_path, check=True)
    assert result.stdout.startswith("0 images")


@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
def test_resume_makes_what_is_missing_or_damaged(kind: str, graph: Path, tmp_path: Path) -> None:
    flags = ("generate", "-e", graph, "--seeds", "0-19", "--format", kind)
    run_gantool(*flags, cwd=tmp_path, check=True)
    folder = tmp_path / "images"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / f"seed0003.{kind}").unlink()
    (folder / f"seed0004.{kind}").write_bytes(whole[f"seed0004.{kind}"][:-1])
    (folder / f"seed0005.{kind}").write_bytes(b"")
    (folder / f"seed0006.{kind}").write_bytes(b"text")
    Image.new("RGB", (5, 5)).save(folder / f"seed0007.{kind}")
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    result = run_gantool(*flags, "--resume", "--grid", "2x2", cwd=tmp_path, check=True)
    assert "20 images of 4×4×3 in images, 15 of them were already there" in result.stdout
    (folder / "grid.png").unlink()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    same = [name for name, time in kept.items() if (folder / name).stat().st_mtime_ns == time]
    assert len(same) == 15


def test_resume_of_shards(graph: Path, tmp_path: Path) -> None:
    flags = ("generate", "-e", graph, "--seeds", "0-39", "--format", "tar", "--shard-size", "8")
    run_gantool(*flags, cwd=tmp_path, check=True)
    folder = tmp_path / "images"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "images-000001.tar").unlink()
    (folder / "images-000002.tar").write_bytes(whole["images-000002.tar"][:1500])
    (folder / "images-000003.tar").write_bytes(whole["images-000004.tar"])  # of other seeds
    result = run_gantool(*flags, "--resume", cwd=tmp_path, check=True)
    assert "16 of them were already there" in result.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


@pytest.mark.parametrize("images", [0, 0.3, 1, 13.99, 14, 20, 25])
def test_resume_of_an_array(images: float, graph: Path, tmp_path: Path) -> None:
    flags = ("generate", "-e", graph, "--seeds", "7,0-18", "--format", "npy")
    run_gantool(*flags, cwd=tmp_path, check=True)
    whole, part = tmp_path / "images/images.npy", tmp_path / "images/images.npy.part"
    content = whole.read_bytes()
    header = len(content) - 20 * 48
    part.write_bytes((content + bytes(500))[: header + int(images * 48)])
    whole.unlink()
    result = run_gantool(*flags, "--resume", "--grid", "2x2", cwd=tmp_path, check=True)
    assert f"20 images of 4×4×3 in images, {int(images) % 25} of them were already there" in result.stdout
    assert whole.read_bytes() == content
    assert not part.exists()
    result = run_gantool(*flags, "--resume", cwd=tmp_path, check=True)
    assert ", 20 of them were already there" in result.stdout
    assert whole.read_bytes() == content
    whole.write_bytes(content[:-1])  # cut
    result = run_gantool(*flags, "--resume", cwd=tmp_path, check=True)
    assert ", 0 of them were already there" in result.stdout
    assert whole.read_bytes() == content


def test_resume_refuses_another_array(graph: Path, tmp_path: Path) -> None:
    flags = ("generate", "-e", graph, "--format", "npy", "--seeds")
    run_gantool(*flags, "0-9", cwd=tmp_path, check=True)
    (tmp_path / "images/images.npy").rename(tmp_path / "images/images.npy.part")
    before = (tmp_path / "images/images.npy.part").read_bytes()
    result = run_gantool(*flags, "0-10", "--resume", cwd=tmp_path)
    assert result.returncode == 2
    assert "images.npy.part is not an array of 11 images of 4×4×3" in result.stderr
    for seeds, wrong in (("0-8,19", 9), ("0-4,14,6-9", 5)):
        result = run_gantool(*flags, seeds, "--resume", cwd=tmp_path)
        assert result.returncode == 2
        assert f"image {wrong} of images/images.npy.part is not the image" in result.stderr
    assert (tmp_path / "images/images.npy.part").read_bytes() == before


def test_an_array_goes_on_beside_an_older_one(graph: Path, tmp_path: Path) -> None:
    flags = ("generate", "-e", graph, "--format", "npy", "--seeds")
    run_gantool(*flags, "0-99", cwd=tmp_path, check=True)
    whole, part = tmp_path / "images/images.npy", tmp_path / "images/images.npy.part"
    content = whole.read_bytes()
    part.write_bytes(content[:-480])
    run_gantool(*flags, "0-9", "-o", "other", cwd=tmp_path, check=True)
    older = (tmp_path / "other/images.npy").read_bytes()
    whole.write_bytes(older)
    result = run_gantool(*flags, "0-9", "--resume", cwd=tmp_path, check=True)
    assert ", 10 of them were already there" in result.stdout
    assert part.read_bytes() == content[:-480]  # of another command
    result = run_gantool(*flags, "0-99", "--resume", cwd=tmp_path, check=True)
    assert ", 90 of them were already there" in result.stdout
    assert whole.read_bytes() == content


def test_two_runs_do_not_write_one_array(graph: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    flags = ("generate", "-e", graph, "--seeds", "0-999999", "--format", "npy")
    part = tmp_path / "images/images.npy.part"
    with subprocess.Popen([sys.executable, "-m", "gantool", *flags], cwd=tmp_path) as first:
        while not part.exists() or part.stat().st_size < 1000:
            assert first.poll() is None
            time.sleep(0.01)
        before = part.stat().st_size
        for more in ("--force", "--resume"):
            result = run_gantool(*flags, more, cwd=tmp_path)
            assert result.returncode == 1
            assert "another run is writing images/images.npy.part" in result.stderr
        assert first.poll() is None
        assert part.stat().st_size >= before
        first.kill()


def test_an_interrupted_array_goes_on(graph: Path, tmp_path: Path) -> None:
    flags = ("generate", "-e", graph, "--seeds", "0-99999", "--format", "npy")
    part = tmp_path / "images/images.npy.part"
    for number in (signal.SIGINT, signal.SIGKILL):
        before = part.stat().st_size if part.exists() else 0
        process = subprocess.Popen(
            [sys.executable, "-m", "gantool", *flags, "--resume"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not part.exists() or part.stat().st_size <= max(before, 1000):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, stderr = process.communicate()
        assert process.returncode in (130, -signal.SIGKILL)
        if process.returncode == 130:
            assert "of 100,000 images are in images; --resume makes the rest" in stderr
    run_gantool(*flags, "--resume", cwd=tmp_path, check=True)
    images = np.load(tmp_path / "images/images.npy", mmap_mode="r")
    with Generator.load(graph, provider="cpu") as generator:
        for seed in (0, 1, 50_000, 99_999):
            np.testing.assert_array_equal(images[seed], generator.images([seed])[0])
    assert len(images) == 100_000
    assert not part.exists()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("png", "seed0000.png in images"),
        ("tar", "seed0000.png in images"),
        ("npy", "image 0 of images/images.npy"),
    ],
)
def test_resume_refuses_a_folder_of_other_images(kind: str, says: str, graph: Path, tmp_path: Path) -> None:
    flags = ("generate", "-e", graph, "--seeds", "0-9", "--format", kind)
    run_gantool(*flags, cwd=tmp_path, check=True)
    result = run_gantool(*flags, "--trunc", "0.3", "--resume", cwd=tmp_path)
    assert result.returncode == 2
    assert f"{says} is not the image that this command makes" in result.stderr


def test_interrupted_shards_are_whole_and_go_on(graph: Path, tmp_path: Path) -> None:
    flags = ("generate", "-e", graph, "--seeds", "0-99999", "--format", "tar", "--shard-size", "500")
    process = subprocess.Popen(
        [sys.executable, "-m", "gantool", *flags], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("images/images-000001.tar")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    shards = sorted((tmp_path / "images").iterdir())
    assert f"{500 * len(shards):,} of 100,000 images are in images; --resume makes the rest" in stderr
    for shard in shards:
        with tarfile.open(shard) as tar:
            assert len(tar.getnames()) == 1000  # each with its .json


def test_a_full_disk_ends_it_with_one_line(graph: Path, tmp_path: Path) -> None:
    limit = "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))\nfrom gantool.__main__ import main\nmain()"
    command: list[str | Path] = [sys.executable, "-c", limit, "generate", "-e", graph, "--seeds", "0-999"]
    # under `make coverage`, the child's own data would meet the limit, too
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "images").iterdir())


def test_what_was_written_before_an_error_is_counted(graph: Path, tmp_path: Path) -> None:
    (tmp_path / "images/seed0005.png").mkdir(parents=True)  # is in the way of one image of a batch
    command = ("generate", "-e", graph, "--seeds", "0-9", "--out", "images", "--force", "--threads", "1")
    result = run_gantool(*command, cwd=tmp_path)
    assert result.returncode == 1
    assert "5 of 10 images are in images; --resume makes the rest" in result.stderr
    assert len([path for path in (tmp_path / "images").iterdir() if path.is_file()]) == 5


@given(
    st.sampled_from([(kind, c) for kind in get_args(Name) for c in (1, 3, 4) if (kind, c) != ("jpg", 4)]),
    st.data(),
)
@settings(max_examples=60)
def test_a_cut_file_is_never_taken_for_whole(case: tuple[Name, int], data: st.DataObject) -> None:
    kind, channels = case
    encoding = Encoding(kind)
    image = np.random.default_rng(0).integers(0, 255, (9, 7, channels), np.uint8)
    whole = encoding.encode(image, b"a packet" if data.draw(st.booleans()) else None)
    decoded = encoding.decode(io.BytesIO(whole), 9, 7, channels)
    assert decoded is not None
    if kind != "jpg":
        np.testing.assert_array_equal(decoded, image)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert encoding.decode(io.BytesIO(whole[:cut]), 9, 7, channels) is None


@given(st.data())
@settings(max_examples=60)
def test_a_changed_bit_of_a_png_shows(data: st.DataObject) -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 7, 3), np.uint8)
    whole = bytearray(Encoding().encode(image))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    found = Encoding().decode(io.BytesIO(bytes(whole)), 6, 7, 3)
    assert found is None or (found == image).all()


@pytest.mark.parametrize("kind", FORMATS[:-1])
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 12), st.integers(1, 3), st.booleans())
@settings(max_examples=8)
def test_what_an_output_has_written_it_finds_and_the_rest_it_asks_for(
    kind: Format, count: int, size: int, ended: int, threads: int, classes: bool
) -> None:
    seeds = Seeds((range(3, 4), range(10, 10 + count)))
    items = Items(seeds)
    if classes:
        items = Items(seeds, (2, 0), named=lambda seed, label: f"{label}/seed{seed}")
    rng = np.random.default_rng(0)
    images = {item: np.full((2, 3, 3), rng.integers(255), np.uint8) for item in items}
    spec = Spec(6, 2, 3, 3, classes=3 if classes else 0, class_names=("a", "b", "c") if classes else ())

    def written(output: Output, pending: Iterator[Item], end: int) -> None:
        with output.open() as write:
            for _ in range(end):
                if not (batch := list(islice(pending, size))):
                    return
                write(batch, np.stack([images[item] for item in batch]))
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        target = Target(Path(folder), kind, threads=threads, shard_size=4)
        first = OUTPUTS[kind](target, items, spec)
        with suppress(KeyboardInterrupt):
            written(first, iter(items), ended)
        again = OUTPUTS[kind](target, items, spec)
        pending = list(again.pending())
        assert again.found == first.written == len(items) - len(pending)
        written(again, iter(pending), len(items) + 1)
        assert again.written == len(pending)
        last = OUTPUTS[kind](target, items, spec)
        assert not list(last.pending())
        for sample in last.sample():
            assert np.abs(sample.image.astype(int) - images[sample.item]).max() <= 3 * (kind == "jpg")


def test_every_format_has_an_output() -> None:
    assert set(OUTPUTS) == set(FORMATS)


def test_many_runs_of_one_array_leave_it_whole(tmp_path: Path) -> None:
    """One may open the part just before another gives it its name: it must not write into that one."""
    pytest.importorskip("fcntl")
    target, items, spec = Target(tmp_path, "npy"), Items(Seeds((range(3),))), Spec(6, 4, 4, 3)
    images = np.full((3, 4, 4, 3), 7, np.uint8)
    expected = array_header((3, 4, 4, 3)) + images.tobytes()

    def run(_: int) -> bool:
        try:
            with NpyArray(target, items, spec).open() as write:
                write(list(items), images)
        except GantoolError:  # another run writes it
            return False
        return (tmp_path / "images.npy").read_bytes() == expected

    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(run, range(400)))
    assert any(ended)
    assert (tmp_path / "images.npy").read_bytes() == expected
    assert not (tmp_path / "images.npy.part").exists()


def test_an_array_that_another_run_finished_meanwhile(tmp_path: Path) -> None:
    output = NpyArray(Target(tmp_path, "npy"), Items(Seeds((range(3),))), Spec(6, 4, 4, 3))
    part = tmp_path / "images.npy.part"
    part.write_bytes(array_header((3, 4, 4, 3)) + bytes(2 * 48))
    assert [item.seed for item in output.pending()] == [2]
    part.unlink()
    with pytest.raises(GantoolError, match="another run has finished"), output.open():
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["png", "tar", "npy"])
def test_a_full_disk_names_the_file(graph: Path, tmp_path: Path, how: str) -> None:
    flags: list[str | Path] = [
        "generate",
        "-e",
        graph,
        "--seeds",
        "0-99999",
        "--format",
        how,
        "--shard-size",
        "99999",
    ]
    limit = "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({50 if how == 'png' else 5000},) * 2)\n"
    script = f"{limit}from gantool.__main__ import main\nmain()"
    result = subprocess.run(
        [sys.executable, "-c", script, *flags], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "gantool: File too large: images/" in result.stderr
    assert ".part" not in result.stderr
