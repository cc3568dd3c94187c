"""The mark in images: each format carries it, other readers read it, and hostile ones do no harm."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from conftest import run_gantool
from field.cases import gantool
from gantool.runtime.artifacts.sidecar import sha256
from gantool.runtime.directions import Directions
from gantool.runtime.errors import GantoolError
from gantool.runtime.provenance.read import read_mark
from gantool.runtime.provenance.record import Record, parse_record
from gantool.runtime.provenance.xmp import MAX_PACKET, SOURCE_TYPE, Mark, packet, parse_packet
from helpers.commands import needed
from helpers.tiny import tiny_graph, write_graphs

FORMATS = ("png", "webp", "jpg", "tiff")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the graphs rgba.onnx, rgb.onnx and grey.onnx."""
    return write_graphs(tmp_path_factory.mktemp("graphs"))


def generate(graph: Path, out: Path, *flags: str) -> None:
    command: list[str | Path] = [
        "generate",
        graph,
        "--provider",
        "cpu",
        "--seeds",
        "0-3",
        "--out",
        out,
        *flags,
    ]
    run_gantool(*command, cwd=graph.parent, check=True)


def mark_of(path: Path) -> Mark:
    mark = read_mark(path)
    assert mark
    return mark


def exiftool(path: Path) -> dict[str, Any]:
    """Return what exiftool reads in a file."""
    command = [needed("exiftool"), "-json", "-struct", "-XMP:all", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    (found,) = json.loads(result.stdout)
    return dict(found)


@pytest.mark.parametrize("name", ["rgba", "rgb", "grey"])
@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_carries_the_mark(kind: str, name: str, folder: Path, tmp_path: Path) -> None:
    ground = ("--background", "white") if (kind, name) == ("jpg", "rgba") else ()
    generate(folder / f"{name}.onnx", tmp_path, "--format", kind, *ground)
    for seed in range(4):
        mark = mark_of(tmp_path / f"seed{seed:04d}.{kind}")
        record = mark.record
        assert record
        assert (mark.source_type, record.seed, record.precision) == (SOURCE_TYPE, str(seed), "fp32")
        assert record.graph == sha256(folder / f"{name}.onnx")
        assert record.engine == "ONNX Runtime, CPU"
        assert record.background == (ground[1] if ground else None)


@pytest.mark.parametrize("kind", FORMATS)
def test_another_reader_reads_it(kind: str, folder: Path, tmp_path: Path) -> None:
    generate(folder / "rgb.onnx", tmp_path, "--format", kind, "--credit", "Æsop & Söhne <b>")
    found = exiftool(tmp_path / f"seed0003.{kind}")
    assert found["DigitalSourceType"].endswith(("trainedAlgorithmicMedia", "Trained Algorithmic Media"))
    assert found["Credit"] == "Æsop & Söhne <b>"


def test_without_marks_files_are_pixels_alone(folder: Path, tmp_path: Path) -> None:
    for kind in FORMATS:
        generate(folder / "rgb.onnx", tmp_path / kind, "--format", kind, "--mark", "none")
        assert read_mark(tmp_path / kind / f"seed0000.{kind}") is None
    generate(folder / "rgb.onnx", tmp_path / "tar", "--format", "tar", "--mark", "none")
    with tarfile.open(tmp_path / "tar/images-000000.tar") as tar:
        assert tar.getnames() == [f"seed{seed:04d}.png" for seed in range(4)]


@pytest.mark.parametrize("kind", [*FORMATS, "tar", "npy"])
def test_runs_and_batches_give_the_same_bytes(kind: str, folder: Path, tmp_path: Path) -> None:
    for out, flags in (("one", ()), ("two", ("--batch", "1", "--threads", "2"))):
        generate(folder / "grey.onnx", tmp_path / out, "--format", kind, *flags)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_sheet_names_its_seeds(folder: Path, tmp_path: Path) -> None:
    generate(folder / "rgb.onnx", tmp_path, "--grid", "2x2")
    record = mark_of(tmp_path / "grid.png").record
    assert record
    assert (record.seed, record.seeds) == (None, "0, 1, 2, 3")


def test_shards_and_arrays_say_it_beside_the_images(folder: Path, tmp_path: Path) -> None:
    for kind in ("tar", "npy"):
        generate(folder / "rgb.onnx", tmp_path, "--format", kind, "--credit", "us")
    with tarfile.open(tmp_path / "images-000000.tar") as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    assert list(members)[:3] == ["seed0000.png", "seed0000.json", "seed0001.png"]
    beside = json.loads(members["seed0002.json"])
    (tmp_path / "one.png").write_bytes(members["seed0002.png"])
    record = mark_of(tmp_path / "one.png").record
    assert record
    assert (beside["seed"], beside["mark"]["credit"]) == (2, "us")
    assert beside["mark"]["record"] == record.to_json()
    marks = json.loads((tmp_path / "images.npy.json").read_text())
    assert marks["mark"]["digital_source_type"] == SOURCE_TYPE
    assert marks["images"] == [{"seed": str(seed)} for seed in range(4)]
    assert Record.from_json({**marks["mark"]["record"], **marks["images"][2]}).to_json() == record.to_json()


def test_shards_of_another_device_are_gone_on_with(folder: Path, tmp_path: Path) -> None:
    generate(folder / "rgb.onnx", tmp_path, "--format", "tar", "--credit", "us")
    flags = ("--format", "tar", "--resume", "--credit", "them")
    result = run_gantool(
        *("generate", folder / "rgb.onnx", "--seeds", "0-3", "--out", tmp_path, *flags), cwd=tmp_path
    )
    assert "4 of them were already there" in result.stdout
    result = run_gantool(
        *("generate", folder / "rgb.onnx", "--seeds", "0-3", "--out", tmp_path, *flags[:3], "--mark", "none"),
        cwd=tmp_path,
    )
    assert "0 of them were already there" in result.stdout


def test_the_label_of_gb_45438(folder: Path, tmp_path: Path) -> None:
    generate(folder / "rgb.onnx", tmp_path, "--aigc", "公司, 42")
    marks = [mark_of(tmp_path / f"seed{seed:04d}.png") for seed in range(4)]
    first = marks[0].aigc
    assert first
    assert list(first) == [
        *("Label", "ContentProducer", "ProduceID", "ReservedCode1"),
        *("ContentPropagator", "PropagateID", "ReservedCode2"),
    ]
    assert (first["Label"], first["ContentProducer"], first["ReservedCode1"]) == ("1", "公司", "42")
    assert len({mark.aigc["ProduceID"] for mark in marks if mark.aigc}) == 4
    assert [mark.record.seed for mark in marks if mark.record] == ["0", "1", "2", "3"]


def test_z_of_a_file_and_directions_are_in_the_mark(folder: Path, tmp_path: Path) -> None:
    z = np.random.RandomState(5).randn(2, 6).astype(np.float32)
    np.save(tmp_path / "z.npy", z)
    command = ("generate", folder / "rgb.onnx", "--z", "z.npy", "--out", "made")
    run_gantool(*command, cwd=tmp_path, check=True)
    record = mark_of(tmp_path / "made/z000001.png").record
    assert record
    assert record.seed is None
    np.testing.assert_array_equal(record.z, z[1])


def test_raw_frames_have_none_and_that_is_said(folder: Path) -> None:
    for flags, said in (((), True), (("--mark", "none"), False)):
        command = ("generate", "rgb.onnx", "--provider", "cpu", "--seeds", "0", "--out", "-", *flags)
        result = subprocess.run(
            [sys.executable, "-m", "gantool", *command], cwd=folder, capture_output=True, check=False
        )
        assert (b"raw frames have no mark" in result.stderr) == said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--mark none --credit us", "--mark none leaves no place for --credit"),
        ("--mark none --aigc us", "--mark none leaves no place for --aigc"),
        ("--aigc ,5", "--aigc ',5': give PRODUCER"),
        ("--credit \x1b[31m", "give 1 to 200 printable letters"),
        ("--mark exif", "choose xmp, c2pa, none"),
    ],
)
def test_options_that_make_no_mark(flags: str, message: str, folder: Path, tmp_path: Path) -> None:
    answer = gantool(["generate", str(folder / "rgb.onnx"), *flags.split()], tmp_path)
    assert answer.code == 2
    assert message in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["png", "tar", "npy"])
def test_what_no_mark_can_hold_is_refused_before_anything_is_written(kind: str, tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph(latent=13_000))
    np.save(tmp_path / "z.npy", np.ones((2, 13_000), np.float32))
    vectors = np.eye(1, 13_000, dtype=np.float32)
    Directions(("one",), vectors, np.ones(1, np.float32)).save(tmp_path / "directions.npz")
    there = sorted(tmp_path.iterdir())
    for flags, message in (
        (("--z", "z.npy"), "is too long for a mark"),
        (("--direction", "one=1") * 101, "a mark holds 100 printable names"),
    ):
        answer = gantool(["generate", "g.onnx", "--format", kind, *flags], tmp_path)
        assert answer.code == 2
        assert message in answer.err
        assert "--mark none" in answer.err
        assert sorted(tmp_path.iterdir()) == there
    for words in ("--z z.npy --mark none", "--seeds 0 --out seeds"):
        assert gantool(["generate", "g.onnx", "--format", kind, *words.split()], tmp_path).code == 0


def test_inspect_prints_the_mark(folder: Path, tmp_path: Path) -> None:
    generate(folder / "rgb.onnx", tmp_path, "--credit", "us")
    answer = gantool("inspect seed0003.png", tmp_path)
    assert answer.code == 0
    for text in ("PNG image", SOURCE_TYPE, "credit", "us", "seed 3", "ONNX Runtime, CPU"):
        assert text in answer.out
    found = json.loads(gantool("inspect seed0003.png --json", tmp_path).out)
    assert found["record"]["seed"] == "3"
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.jpg")
    assert "mark  none" in gantool("inspect plain.jpg", tmp_path).out


def with_xmp(path: Path, xmp: bytes) -> Path:
    """Write a JPEG or a PNG with any XMP."""
    if path.suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "surrogateescape"))
        Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    else:
        Image.new("RGB", (4, 4)).save(path, "WEBP", xmp=xmp)
    return path


def record_text(**changed: Any) -> str:
    given = {"gantool": "1", "graph": "0" * 64, "engine": "x", "seed": "1", **changed}
    return json.dumps({name: value for name, value in given.items() if value is not None})


LAUGHS = (
    b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">'
    b"]><x>&c;&c;&c;</x>"
)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize(
    "xmp",
    [
        pytest.param(b"<x>" + b"a" * (1 << 20) + b"</x>", id="a megabyte"),
        pytest.param(LAUGHS, id="entities"),
        pytest.param(b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', id="outside"),
        pytest.param(b"<x>" * 50_000, id="nested"),
        pytest.param(b"<x", id="cut off"),
        pytest.param(b"not XML", id="text"),
        pytest.param(packet("not JSON").encode(), id="no record"),
        pytest.param(packet("[" * 20_000).encode(), id="nested JSON"),
        pytest.param(packet(record_text(graph="\x9b31m")).encode(), id="control characters"),
        pytest.param(packet(record_text(engine="\u202egnp")).encode(), id="right to left"),
        pytest.param(packet(record_text(seed="0-4294967295")).encode(), id="all seeds"),
        pytest.param(packet(record_text(z="AAAA")).encode(), id="z cut off"),
        pytest.param(packet(record_text(truncation=1e999)).encode(), id="infinite"),
        pytest.param(packet(record_text(), aigc="7").encode(), id="AIGC"),
    ],
)
def test_hostile_marks_do_no_harm(xmp: bytes, suffix: str, folder: Path, tmp_path: Path) -> None:
    path = with_xmp(tmp_path / f"x{suffix}", xmp)
    for command in (["inspect", path.name], ["authenticate", path.name, "-e", str(folder / "rgb.onnx")]):
        answer = gantool(command, tmp_path)
        assert answer.code in (1, 3)
        assert len(answer.out) + len(answer.err) < 600
        assert "Traceback" not in answer.err
        assert "\x9b" not in answer.out + answer.err
        assert "\u202e" not in answer.out + answer.err


def test_long_texts_of_others_are_shortened(tmp_path: Path) -> None:
    aigc = json.dumps({f"field {number}": "x" for number in range(5000)})
    with_xmp(tmp_path / "x.png", packet(record_text(), "c" * 50_000, aigc).encode())
    answer = gantool("inspect x.png", tmp_path)
    assert answer.code == 0
    assert len(answer.out) < 2000


def test_foreign_xmp_is_no_mark(tmp_path: Path) -> None:
    xmp = packet("x").replace("gantool:record", "dc:title").replace("xmlns:gantool", "xmlns:dc")
    path = with_xmp(tmp_path / "x.png", xmp.encode())
    assert mark_of(path) == Mark(SOURCE_TYPE)
    assert "none of gantool's" in gantool("inspect x.png", tmp_path).out
    with_xmp(path, b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>')
    assert read_mark(path) is None


def test_control_characters_of_others_stay_in_the_file(tmp_path: Path) -> None:
    with_xmp(tmp_path / "x.png", packet(record_text(), "\u202e\x85red", '{"Label": "\u202e"}').encode())
    answer = gantool("inspect x.png", tmp_path)
    assert answer.code == 0
    assert "\u202e" not in answer.out
    assert "\x85" not in answer.out


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    ["graph", "engine", "gantool", "precision", "seed", "z", "class", "truncation", "direction", "background"]
)


@given(changes=st.dictionaries(fields, values, max_size=4))
def test_any_record_is_read_or_refused(changes: dict[str, Any]) -> None:
    text = json.dumps({**json.loads(record_text()), **changes})
    try:
        record = parse_record(text)
    except GantoolError:
        return
    assert parse_record(json.dumps(record.to_json())).to_json() == record.to_json()


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for text in (data, packet(record_text()).encode()[:-100] + data):
        with suppress(GantoolError):
            parse_packet(text)


def test_the_longest_mark_can_be_read(tmp_path: Path) -> None:
    z = np.ones(12_000, np.float32)
    record = Record("0" * 64, "x", "1", z=z)
    text = packet(json.dumps(record.to_json())).encode()
    assert len(text) < MAX_PACKET
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "JPEG", xmp=text)
    (tmp_path / "x.jpg").write_bytes(file.getvalue())
    again = mark_of(tmp_path / "x.jpg").record
    assert again
    np.testing.assert_array_equal(again.z, z)
