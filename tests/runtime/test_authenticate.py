"""`gantool authenticate`: images are made again from their marks; what is altered, foreign or unmarked is found."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import ExifTags, Image, PngImagePlugin

from conftest import run_gantool
from field.cases import gantool
from gantool.runtime import Generator
from gantool.runtime.directions import Directions
from gantool.runtime.provenance.compare import compare
from gantool.runtime.provenance.embed import KEYWORD, in_png, png_chunk
from gantool.runtime.provenance.read import read_mark
from gantool.runtime.provenance.record import z_text
from gantool.runtime.provenance.xmp import packet
from helpers.networks import full_graph
from helpers.tiny import tiny_graph

FORMATS = ("png", "webp", "tiff", "jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with g.onnx, a conditional generator; near.onnx, which rounds differently; far.onnx."""
    folder = tmp_path_factory.mktemp("graphs")
    graph = full_graph("conditional")[0]
    onnx.save(graph, folder / "g.onnx")
    for name, size in (("near", 1e-3), ("far", 1.0)):
        changed = onnx.ModelProto.FromString(graph.SerializeToString())
        for tensor in changed.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype == np.float32 and values.ndim == 4:
                noise = np.random.RandomState(1).randn(*values.shape).astype(np.float32)
                values = values + size * noise * values.std()
                tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
        onnx.save(changed, folder / f"{name}.onnx")
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    """Return a folder of images of seeds 0 to 7 by g.onnx."""
    run_gantool(
        *("generate", "g.onnx", "--provider", "cpu", "--seeds", "0-7", "--out", "made"),
        cwd=folder,
        check=True,
    )
    return folder / "made"


def judged(folder: Path, *words: object, code: int, engine: str = "g.onnx") -> dict[str, dict[str, Any]]:
    """Return the verdict of each file, by name."""
    flags = ("-e", str(folder / engine), "--provider", "cpu", "--json")
    answer = gantool(["authenticate", *map(str, words), *flags], folder)
    assert answer.code == code, answer.err
    return {Path(each["file"]).name: each for each in json.loads(answer.out)}


def save(picture: Image.Image, path: Path, mark: Path) -> None:
    """Save a picture as PNG, with the mark of another file."""
    with Image.open(mark) as marked:
        info = PngImagePlugin.PngInfo()
        info.add_itxt(KEYWORD, marked.info[KEYWORD])
        picture.save(path, pnginfo=info)


@pytest.mark.parametrize("kind", FORMATS)
def test_images_are_authentic_bit_for_bit(kind: str, folder: Path, tmp_path: Path) -> None:
    flags = ("--seeds", "0-3,1+2,3~9@2of8", "--class", "all", "--trunc", "0.7", "--batch", "5")
    run_gantool(
        *("generate", folder / "g.onnx", "--provider", "cpu", "--format", kind, "--out", "made", *flags),
        cwd=tmp_path,
        check=True,
    )
    found = judged(folder, tmp_path / "made", code=0)
    with Generator.load(folder / "g.onnx", "cpu") as generator:
        assert len(found) == 6 * (generator.spec.classes or 0)
    assert all(each["levels"] <= 1 for each in found.values())
    assert {each["verdict"] for each in found.values()} <= {"authentic", "close"}


def test_z_directions_and_resampling_are_made_again(folder: Path, tmp_path: Path) -> None:
    with Generator.load(folder / "g.onnx", "cpu") as generator:
        z = generator.z([5, 6])
        latent = generator.spec.latent
    np.save(tmp_path / "z.npy", z)
    vectors = np.random.RandomState(0).randn(2, latent).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    Directions(("one", "two"), vectors, np.ones(2, np.float32)).save(tmp_path / "directions.npz")
    for out, flags in (
        ("z", ("--z", "z.npy")),
        ("moved", ("--seeds", "0-3", "--direction", "one=2")),
        ("drawn", ("--seeds", "0-3", "--trunc-resample", "0.5")),
    ):
        command = ("generate", folder / "g.onnx", "--provider", "cpu", "--out", out, *flags)
        run_gantool(*command, cwd=tmp_path, check=True)
        found = judged(folder, tmp_path / out, code=0)
        assert {each["verdict"] for each in found.values()} <= {"authentic", "close"}, out


@pytest.fixture(scope="module")
def clear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with rgba.onnx, and seed0000.png of it."""
    folder = tmp_path_factory.mktemp("rgba")
    (folder / "g.onnx").write_bytes(tiny_graph(channels=4))
    run_gantool(
        "generate", "g.onnx", "--provider", "cpu", "--seeds", "0", "--out", ".", cwd=folder, check=True
    )
    return folder


def forged(path: Path, mark: Path, picture: Image.Image | None = None, **changed: Any) -> None:
    """Write a PNG with the mark of another file, in which fields are changed; None removes one."""
    found = read_mark(mark)
    assert found
    assert found.record
    record = {**found.record.to_json(), **changed}
    text = packet(json.dumps({name: value for name, value in record.items() if value is not None}))
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEYWORD, text)
    with Image.open(mark) as original:
        (picture or original).save(path, pnginfo=info)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"precision": "int8", "engine": "TensorRT", "graph": "0" * 64}, "unproven"),
        ({"precision": "int8"}, "unproven"),
        ({"precision": None}, "unproven"),
        ({"engine": "TensorRT"}, "altered"),
        ({"graph": "0" * 64}, "altered"),
    ],
)
def test_no_text_in_a_mark_makes_an_alteration_pass(
    changed: dict[str, Any], verdict: str, folder: Path, made: Path, tmp_path: Path
) -> None:
    with Image.open(made / "seed0001.png") as picture:
        pixels = np.asarray(picture).astype(int)
    box = pixels[8:20, 8:20]
    box += np.where(box > 127, -50, 50)
    altered = Image.fromarray(pixels.astype(np.uint8))
    forged(tmp_path / "x.png", made / "seed0001.png", altered, **changed)
    found = judged(folder, "--html", tmp_path / "x.html", tmp_path / "x.png", code=3)["x.png"]
    assert (found["verdict"], found["levels"]) == (verdict, 50)
    assert found["altered_share"] == pytest.approx(144 / 1024)
    assert (tmp_path / "x.html").read_text().count("<article") == 1
    if verdict == "unproven":
        assert "check with the engine in its mark" in found["note"]


@pytest.mark.parametrize(
    "changed",
    [
        {"background": "red"},
        {"background": "white"},
        {"class": 10**9},
        {"class": [0.5, 0.5]},
        {"truncation": 5e37},
        {"truncation": 1e37},
        {"truncation_resample": 1e-9},
        {"seed": None, "z": "AACAPw=="},
        {"seed": "1*-999999+2*0.000000001"},
    ],
    ids=str,
)
def test_a_forged_record_spoils_no_other_verdict(
    changed: dict[str, Any], folder: Path, made: Path, tmp_path: Path
) -> None:
    forged(tmp_path / "forged.png", made / "seed0001.png", **changed)
    found = judged(folder, tmp_path / "forged.png", made / "seed0002.png", code=3)
    assert (found["forged.png"]["verdict"], found["seed0002.png"]["verdict"]) == ("altered", "authentic")
    assert "`" not in found["forged.png"]["note"]


def test_z_that_makes_no_image_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(nan_graph())
    command = ("generate", "g.onnx", "--provider", "cpu", "--seeds", "0-1", "--out", ".")
    run_gantool(*command, cwd=tmp_path, check=True)
    forged(tmp_path / "forged.png", tmp_path / "seed0000.png", z=z_text(np.full(6, 3e38, np.float32)))
    found = judged(tmp_path, tmp_path, code=3)
    assert {name: each["verdict"] for name, each in found.items()} == {
        **{"forged.png": "altered", "seed0000.png": "authentic", "seed0001.png": "authentic"}
    }


def nan_graph() -> bytes:
    """Return the tiny generator with float output, in which a huge z gives infinity minus infinity."""
    model = onnx.ModelProto.FromString(tiny_graph(output="float"))
    for tensor in model.graph.initializer:
        if tensor.name == "weights":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 100, "weights"))
    return bytes(model.SerializeToString())


def test_a_picture_that_looks_unlike_its_pixels(folder: Path, made: Path, tmp_path: Path) -> None:
    original = made / "seed0001.png"
    packet_of = PngImagePlugin.PngInfo()
    with Image.open(original) as picture:
        picture.load()
        packet_of.add_itxt(KEYWORD, picture.info[KEYWORD])
        xmp = picture.info["xmp"]
    other = Image.fromarray(255 - np.asarray(picture))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    clear = picture.convert("RGBA")
    clear.putpixel((5, 5), (*clear.getpixel((5, 5))[:3], 0))  # type: ignore[index]
    picture.save(tmp_path / "turned.png", pnginfo=packet_of, exif=exif)
    picture.save(tmp_path / "turned.jpg", xmp=xmp, exif=exif)
    picture.save(tmp_path / "profile.png", pnginfo=packet_of, icc_profile=b"x" * 200)
    clear.save(tmp_path / "hole.png", pnginfo=packet_of)
    picture.save(tmp_path / "film.png", pnginfo=packet_of, save_all=True, append_images=[other])
    picture.save(tmp_path / "film.webp", xmp=xmp, lossless=True, save_all=True, append_images=[other])
    picture.convert("L").save(tmp_path / "grey.jpg", xmp=xmp)
    coarse = Image.fromarray(np.asarray(picture) // 12 * 12)
    coarse.save(tmp_path / "coarse.webp", xmp=xmp, lossless=True)
    found = judged(folder, tmp_path, code=3)
    assert {name: each["verdict"] for name, each in found.items()} == {
        "turned.png": "copy",
        "turned.jpg": "copy",
        "profile.png": "copy",
        "hole.png": "altered",
        "film.png": "altered",
        "film.webp": "altered",
        "grey.jpg": "copy",
        "coarse.webp": "copy",
    }
    assert found["film.png"]["note"] == "it has 2 frames, and its mark is of one image"
    assert "re-encoded" in found["coarse.webp"]["note"]


def test_what_programs_do_to_png_without_loss(clear: Path, tmp_path: Path) -> None:
    original = clear / "seed0000.png"
    with Image.open(original) as picture:
        picture.load()
        text = picture.info[KEYWORD]
    chunk = png_chunk(text.encode())
    data = io.BytesIO()
    picture.save(data, "PNG")
    (tmp_path / "late.png").write_bytes(data.getvalue()[:-12] + chunk + data.getvalue()[-12:])
    save(picture, tmp_path / "again.png", original)
    flat = Image.new("RGBA", picture.size, "white")
    flat.alpha_composite(picture)
    save(flat.convert("RGB"), tmp_path / "white.png", original)
    found = judged(clear, tmp_path, code=0)
    assert {name: (each["levels"], each["note"]) for name, each in found.items()} == {
        "late.png": (0, ""),
        "again.png": (0, ""),
        "white.png": (0, "laid on white"),
    }


def test_colours_of_transparent_pixels_are_not_seen() -> None:
    expected = np.random.RandomState(0).randint(0, 256, (8, 8, 4), np.uint8)
    expected[2:4, 2:4, 3] = 0
    there = expected.copy()
    there[2:4, 2:4, :3] = 0
    found = compare(Image.fromarray(there), expected, 16)
    assert (found.outcome, found.levels) == ("authentic", 0)
    assert "which nobody sees" in found.note


@pytest.mark.parametrize(
    ("pixels", "levels", "most", "outcome"),
    [
        (0, 0, 4, "close"),
        (10, 16, 16, "close"),
        (10, 16, 128, "close"),
        (11, 16, 16, "unproven"),
        (10, 17, 16, "altered"),
        (1, 5, 4, "altered"),  # both engines are FP32
    ],
)
def test_rounding_of_few_pixels(pixels: int, levels: int, most: int, outcome: str) -> None:
    expected = np.random.RandomState(0).randint(0, 200, (32, 32, 3), np.uint8)
    there = expected + np.uint8(3)  # in each pixel, as engines may
    there.reshape(-1, 3)[:pixels] = expected.reshape(-1, 3)[:pixels] + levels
    found = compare(Image.fromarray(there), expected, most)
    assert (found.outcome, found.levels) == (outcome, max(levels, 3))


def test_jpegs_of_another_engine_round_to_other_steps(folder: Path, tmp_path: Path) -> None:
    command = ("generate", folder / "near.onnx", "--provider", "cpu", "--seeds", "0-7", "--format", "jpg")
    for quality in (30, 90):
        run_gantool(*command, "--quality", str(quality), "--out", f"q{quality}", cwd=tmp_path, check=True)
        found = judged(folder, tmp_path / f"q{quality}", code=3 if quality == 30 else 0)
        assert {each["verdict"] for each in found.values()} <= {"close", "unproven", "authentic"}


def test_a_picture_of_too_many_pixels_is_not_decoded(folder: Path, made: Path, tmp_path: Path) -> None:
    with Image.open(made / "seed0001.png") as picture:
        text = picture.info[KEYWORD]
    for side in (5000, 14000):
        head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
        data = b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
        (tmp_path / f"{side}.png").write_bytes(in_png(b"\x89PNG\r\n\x1a\n" + data, text.encode()))
    found = judged(folder, tmp_path, code=3)
    assert {each["verdict"] for each in found.values()} == {"unreadable"}
    assert found["5000.png"]["note"] == "it has 5,000×5,000 pixels, which is too large"
    for side in (5000, 14000):
        Image.new("1", (side, side)).save(tmp_path / f"{side}.png")
    found = judged(folder, tmp_path, "--search", "0-3", code=3)
    assert {each["verdict"] for each in found.values()} == {"unreadable"}


def test_files_of_other_kinds_are_named(folder: Path, made: Path, tmp_path: Path) -> None:
    command = ("generate", folder / "g.onnx", "--provider", "cpu", "--seeds", "0-1", "--out", ".")
    for kind in ("tar", "npy"):
        run_gantool(*command, "--format", kind, cwd=tmp_path, check=True)
    (tmp_path / "cut.png").write_bytes((made / "seed0000.png").read_bytes()[:20])
    found = judged(
        folder, tmp_path / "images-000000.tar", tmp_path / "images.npy", tmp_path / "cut.png", code=3
    )
    assert {name: (each["verdict"], each["note"]) for name, each in found.items()} == {
        "images-000000.tar": ("unreadable", "a tar archive, not an image or a film"),
        "images.npy": ("unreadable", "a NumPy array, not an image or a film"),
        "cut.png": ("unreadable", "a PNG image that is damaged"),
    }


@contextmanager
def without_root() -> Iterator[None]:
    """Give up the rights of root, who may read everything, while the block runs."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_what_may_not_be_read_is_not_passed_over(folder: Path, made: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are for their owner alone
        place = Path(name)
        place.chmod(0o755)
        shutil.copy(folder / "g.onnx", place)
        shutil.copytree(made, place / "made/closed")
        shutil.copy(made / "seed0000.png", place / "made")
        assert (
            len(judged(place, place / "made", code=0)) == 8
        )  # and loads modules that only root may read here
        (place / "made/closed/seed0001.png").chmod(0)
        with without_root():
            found = judged(place, place / "made", code=3)
        assert len(found) == 8
        assert [(path, each["note"]) for path, each in found.items() if not each["authentic"]] == [
            ("seed0001.png", "cannot be read (Permission denied)")
        ]
        (place / "made/closed").chmod(0)
        with without_root():
            answer = gantool(["authenticate", "made", "-e", "g.onnx", "--provider", "cpu"], place)
        assert (answer.code, answer.out) == (1, "")
        assert "Permission denied: made/closed" in answer.err


def test_only_sheets_are_left_out_of_a_folder(folder: Path, made: Path, tmp_path: Path) -> None:
    for name in ("grid.png", "grid-3of16.png", "gridlock.png", "grid.jpg"):
        shutil.copy(made / "seed0001.png", tmp_path / name)
    answer = gantool(["authenticate", ".", "-e", str(folder / "g.onnx"), "--provider", "cpu"], tmp_path)
    assert [line.split()[0] for line in answer.out.splitlines()] == ["grid.jpg", "gridlock.png"]
    assert "grid-3of16.png is a sheet by its name: not checked" in answer.err


def test_a_name_cannot_forge_a_line(folder: Path, made: Path, tmp_path: Path) -> None:
    shutil.copy(made / "seed0001.png", tmp_path / "a.png  authentic\nb.png")
    answer = gantool(["authenticate", ".", "-e", str(folder / "g.onnx"), "--provider", "cpu"], tmp_path)
    assert len(answer.out.splitlines()) == 1


def test_another_engine_of_the_same_generator(folder: Path, made: Path) -> None:
    found = judged(folder, made, code=0, engine="near.onnx")
    assert {each["verdict"] for each in found.values()} == {"close"}
    answer = gantool(["authenticate", str(made), "-e", "near.onnx", "--provider", "cpu"], folder)
    assert "(other engine)" in answer.out


def test_another_generator(folder: Path, made: Path) -> None:
    found = judged(folder, made, code=3, engine="far.onnx")
    assert {each["verdict"] for each in found.values()} == {"other"}


def test_a_generator_of_another_shape(folder: Path, made: Path, exported: Path) -> None:
    found = judged(folder, made, code=3, engine=str(exported / "g.onnx"))
    assert {each["verdict"] for each in found.values()} == {"other"}
    answer = gantool(["authenticate", str(made), "-e", str(exported / "g.onnx")], folder)
    assert "of another generator" in answer.out


def test_one_pixel_among_a_thousand_images_is_found(folder: Path, tmp_path: Path) -> None:
    command = ("generate", folder / "g.onnx", "--provider", "cpu", "--seeds", "0-999", "--out", "made")
    run_gantool(*command, cwd=tmp_path, check=True)
    path = tmp_path / "made/seed0777.png"
    with Image.open(path) as picture:
        picture.load()
        changed = picture.copy()
        value = np.asarray(changed)[3, 2]
        changed.putpixel((2, 3), tuple(int(each) ^ 128 for each in np.atleast_1d(value)))
        save(changed, tmp_path / "changed.png", path)
    shutil.move(tmp_path / "changed.png", path)
    found = judged(folder, tmp_path / "made", code=3)
    assert len(found) == 1000
    wrong = {name: each for name, each in found.items() if not each["authentic"]}
    assert list(wrong) == ["seed0777.png"]
    height, width = np.asarray(changed).shape[:2]
    assert wrong["seed0777.png"]["verdict"] == "altered"
    assert wrong["seed0777.png"]["altered_share"] == pytest.approx(1 / (height * width))


def test_what_became_of_images(folder: Path, made: Path, tmp_path: Path) -> None:
    original = made / "seed0003.png"
    with Image.open(original) as picture:
        picture.load()
    box = picture.copy()
    box.paste(0, (2, 2, 8, 8))
    save(box, tmp_path / "box.png", original)
    save(Image.open(made / "seed0004.png"), tmp_path / "forged.png", original)
    save(
        picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.BICUBIC),
        tmp_path / "big.png",
        original,
    )
    picture.convert("RGB").save(tmp_path / "stripped.png")
    with Image.open(original) as marked:
        picture.convert("RGB").save(tmp_path / "again.jpg", quality=70, xmp=marked.info["xmp"])
    (tmp_path / "cut.png").write_bytes(original.read_bytes()[:-60])
    (tmp_path / "text.png").write_text("no image")
    found = judged(folder, tmp_path, code=3)
    assert {name: each["verdict"] for name, each in found.items()} == {
        "again.jpg": "authentic",
        "big.png": "copy",
        "box.png": "altered",
        "cut.png": "unreadable",
        "forged.png": "altered",
        "stripped.png": "unmarked",
        "text.png": "unreadable",
    }
    answer = gantool(
        [
            "authenticate",
            str(tmp_path),
            "-e",
            "g.onnx",
            "--provider",
            "cpu",
            "--html",
            str(tmp_path / "a.html"),
        ],
        folder,
    )
    assert "% of the pixels, by up to" in answer.out
    assert "forged.png  altered: not the picture of its mark" in answer.out
    assert "1 of 7 images are authentic" in answer.err
    page = (tmp_path / "a.html").read_text()
    assert page.count("<article") == 2  # where box.png and forged.png differ
    assert "made again" in page


def test_sheets_are_for_people(folder: Path, tmp_path: Path) -> None:
    command = ("generate", folder / "g.onnx", "--provider", "cpu", "--seeds", "0-3", "--grid", "2x2")
    run_gantool(*command, "--out", "made", cwd=tmp_path, check=True)
    assert len(judged(folder, tmp_path / "made", code=0)) == 4
    found = judged(folder, tmp_path / "made/grid.png", code=3)
    assert found["grid.png"]["verdict"] == "several"


def test_one_seed_alone_does_not_stand_out(folder: Path, tmp_path: Path) -> None:
    noise = np.random.RandomState(0).randint(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    found = judged(folder, tmp_path, "--search", "5-5", code=3)
    assert found["noise.png"]["seed"] is None


def test_the_seed_of_a_picture_of_16_bits(tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(tiny_graph(channels=1))
    with Generator.load(tmp_path / "g.onnx", "cpu") as generator:
        grey = generator.images([7])[0, :, :, 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "x.png")
    found = judged(tmp_path, tmp_path, "--search", "0-99", code=3)
    assert found["x.png"]["note"] == "seed 7 makes it bit for bit"


def test_the_seed_of_an_image_without_a_mark(folder: Path, made: Path, tmp_path: Path) -> None:
    for seed in (0, 5, 7):
        with Image.open(made / f"seed{seed:04d}.png") as picture:
            picture.convert("RGB").save(tmp_path / f"seed{seed}.png")
    with Image.open(made / "seed0002.png") as picture:
        picture.convert("RGB").resize((80, 80)).save(tmp_path / "big2.png")
    with Image.open(made / "seed0006.png") as picture:
        picture.convert("RGB").save(tmp_path / "again6.jpg", quality=95)
    noise = np.random.RandomState(0).randint(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    found = judged(folder, tmp_path, "--search", "0-199", code=3)
    assert {name: each["seed"] for name, each in found.items()} == {
        "seed0.png": "0",
        "seed5.png": "5",
        "seed7.png": "7",
        "big2.png": "2",
        "again6.jpg": "6",
        "noise.png": None,
    }
    assert "bit for bit" in found["seed5.png"]["note"]
    assert "seed 2 makes it, resized from 32×32 to 80×80" in found["big2.png"]["note"]
    assert "bit for bit" in found["again6.jpg"]["note"]
    assert "no seed stands out" in found["noise.png"]["note"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("", 2, "name images, or a folder of them"),
        ("nowhere.png", 1, "nowhere.png: there is no such file"),
        ("empty", 1, "empty holds no images"),
        ("made --search 1+2", 2, "give one range, as in 0-99999"),
        ("made --class 1", 2, "is for a search: add --search"),
        ("made --trunc 0.5", 2, "is for a search: add --search"),
        ("made --search 0-9 --class 99", 2, "the classes of this engine are"),
        ("made --batch 0", 2, "give a whole number"),
    ],
)
def test_what_cannot_be_authenticated(words: str, code: int, message: str, folder: Path, made: Path) -> None:
    assert made.is_dir()
    (folder / "empty").mkdir(exist_ok=True)
    answer = gantool(["authenticate", *words.split(), "-e", "g.onnx", "--provider", "cpu"], folder)
    assert (answer.code, message in answer.err) == (code, True), answer.err
