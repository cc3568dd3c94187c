"""Folders and zips of images: what is taken, what is skipped and named, and the cache."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import run_gantool
from gantool.models.config import square
from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.progress import Task, reported_to
from gantool.train.data import dataset as data
from gantool.train.data import listing
from gantool.train.data.dataset import ImageData, load_images
from helpers.logs import logged

Colour = int | tuple[int, int, int]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """16 grey images, 00.png to 15.png, each of the grey that is its number."""
    path = tmp_path / "My images!"
    for number in range(16):
        save(path / f"{number:02d}.png", number)
    return path


def encode(colour: Colour, kind: str = "PNG", side: int = 12) -> bytes:
    file = io.BytesIO()
    Image.new("L" if isinstance(colour, int) else "RGB", (side, side), colour).save(file, kind)
    return file.getvalue()


def save(path: Path, colour: Colour) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(colour))


def load(source: Path | str, channels: int | None = None) -> ImageData:
    return load_images(str(source), square(8), channels)


def test_folder(folder: Path) -> None:
    loaded = load(folder)
    assert loaded.images.shape == (16, 8, 8, 1)
    assert loaded.images.dtype == np.uint8
    assert loaded.images[:, 3, 3, 0].tolist() == list(range(16))
    assert isinstance(loaded.images, np.memmap)
    assert not loaded.images.flags.writeable
    assert (loaded.name, loaded.skipped) == ("My-images", ())


def test_tree_in_order_without_what_is_hidden(folder: Path) -> None:
    save(folder / "05" / "deep" / "a.PNG", 100)
    save(folder / ".hidden.png", 200)
    save(folder / ".git" / "a.png", 200)
    save(folder / "__MACOSX" / "a.png", 200)
    (folder / "notes.txt").write_text("no image")
    loaded = load(folder)
    # 05.png < 05/deep/a.PNG, as strings
    assert loaded.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 100, *range(6, 16)]
    assert loaded.skipped == ()


def test_links_may_lead_outside_but_not_round_in_circles(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "outside" / "a.png", 100)
    try:
        (folder / "link").symlink_to(tmp_path / "outside")
        (tmp_path / "outside" / "back").symlink_to(folder)
        (folder / "broken.png").symlink_to(tmp_path / "nothing.png")
    except OSError:
        pytest.skip("no right to make links here")
    loaded = load(folder)
    assert loaded.images[:, 0, 0, 0].tolist() == [*range(16), 100]
    assert loaded.skipped == ("broken.png: it is not a file that can be read",)


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with folders in it, deeper than Python may recurse and than a path may be long."""
    (tmp_path / "nested").mkdir()
    where = os.open(tmp_path / "nested", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=where)
        below = os.open("d", os.O_RDONLY, dir_fd=where)
        os.close(where)
        where = below
    os.close(where)
    yield tmp_path / "nested"
    subprocess.run(["rm", "-rf", tmp_path / "nested"], check=True)  # pytest's own removal recurses


def test_folders_nested_in_thousands(nested: Path) -> None:
    for number in range(16):
        save(nested / f"{number:02d}.png", number)
    loaded = load(nested)
    assert len(loaded.images) == 16
    assert len(loaded.skipped) == 1
    assert loaded.skipped[0].endswith("the folder cannot be read: File name too long")
    assert len(loaded.skipped[0]) < 300


def test_one_readable_image_of_colour_makes_three_channels(folder: Path) -> None:
    save(folder / "99.png", (255, 0, 0))
    loaded = load(folder)
    assert loaded.images.shape == (17, 8, 8, 3)
    assert loaded.images[7, 0, 0].tolist() == [7, 7, 7]
    assert loaded.images[16, 0, 0].tolist() == [255, 0, 0]
    assert load(folder, 1).images[16, 0, 0].tolist() == [76]
    assert load(folder).images.shape == (17, 8, 8, 3)  # the grey copy is not taken for its own


def test_a_broken_image_of_colour_does_not(folder: Path) -> None:
    (folder / "99.png").write_bytes(encode((255, 0, 0), side=64)[:60])
    assert load(folder).images.shape == (16, 8, 8, 1)
    assert load(folder, 3).images.shape == (16, 8, 8, 3)


def test_what_cannot_be_read_is_named_and_skipped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    noise = Image.effect_noise((30, 30), 50)
    noise.save(folder / "whole.jpg")
    noise.save(folder / "whole.png")
    for kind in ("jpg", "png"):
        half = (folder / f"whole.{kind}").read_bytes()
        (folder / f"cut.{kind}").write_bytes(half[: len(half) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "ppm.png").write_bytes(encode(1, "PPM"))  # formats that are not asked for are not tried
    (folder / "nothing.gif").write_bytes(b"GIF89a" + bytes(7) + b",\0\0\0\0\0\0\0\0\0\2\0;")
    (folder / "bomb1.png").write_bytes(encode(1, side=40))  # Pillow only warns
    (folder / "bomb2.png").write_bytes(encode(1, side=400))  # Pillow raises
    (folder / "new\nline.png").write_text("a name that writes its own log lines")
    with logged() as lines:
        loaded = load_images(str(folder), square(8))
    assert len(loaded.images) == 18
    reasons = dict(line.split(": ", 1) for line in loaded.skipped)
    names = "bomb1.png bomb2.png cut.jpg cut.png empty.png new?line.png nothing.gif ppm.png text.png"
    assert list(reasons) == names.split()
    assert reasons["bomb1.png"] == "40 x 40 pixels are over the limit of 1,000"
    assert "exceeds limit" in reasons["bomb2.png"]
    assert "truncated" in reasons["cut.jpg"]
    assert reasons["text.png"] == "it is not a PNG, JPEG, WEBP, GIF, BMP or TIFF file, or it is damaged"
    assert reasons["empty.png"] == "it is empty: copy or download it again"
    assert reasons["ppm.png"] == "it is a PNM image: convert it to PNG or JPEG"
    assert [line for line in lines if line.startswith("skipped")] == [f"skipped {s}" for s in loaded.skipped]


def test_damaged_exif_is_no_reason_to_skip(folder: Path) -> None:
    Image.new("L", (8, 8), 99).save(folder / "99.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    loaded = load(folder)
    assert (len(loaded.images), loaded.skipped) == (17, ())


def test_many_skipped_are_counted_in_the_log_and_kept_in_full(folder: Path) -> None:
    for number in range(13):
        (folder / f"bad{number:02d}.png").write_bytes(b"")
    for _ in range(2):  # decoded, then cached
        with logged(logging.WARNING) as lines:
            loaded = load_images(str(folder), square(8))
        assert len(loaded.skipped) == 13
        assert sum(line.startswith("skipped bad") for line in lines) == 10
        assert "... and 3 more" in lines


def test_a_file_over_the_limit_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_FILE_BYTES", 1000)
    with (folder / "large.png").open("wb") as file:
        file.truncate(1001)
    assert load(folder).skipped == ("large.png: 1,001 bytes are over the limit of 1,000",)


def test_progress(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_PROGRESS_SECONDS", -1.0)
    with logged() as lines:
        load_images(str(folder), square(8))
    assert lines[0] == "decoded 1 of 16 images"


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/", b"")
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def patch(path: Path, name: bytes, offset: int, value: bytes) -> None:
    """Change what the central directory (APPNOTE.TXT 4.3.12) says of a member."""
    blob = bytearray(path.read_bytes())
    start = blob.rindex(name) - 46 + offset
    blob[start : start + len(value)] = value
    path.write_bytes(blob)


def sixteen() -> dict[str, bytes]:
    return {f"deep/{number:02d}.png": encode(number) for number in range(16)}


def test_zip(tmp_path: Path) -> None:
    path = pack(tmp_path / "faces.v2.zip", {"notes.txt": b"", "__MACOSX/deep/._00.png": b"", **sixteen()})
    loaded = load(path)
    assert loaded.images[:, 0, 0, 0].tolist() == list(range(16))
    assert (loaded.name, loaded.skipped) == ("faces.v2", ())


def test_zip_with_evil_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_FILE_BYTES", 100_000)
    outside = ["../up.png", "/root.png", "C:/drive.png", "\\\\host\\share.png", "deep/../../up.png"]
    members = sixteen() | dict.fromkeys(outside, encode(1))
    members |= {"huge.png": bytes(100_001), "liar.png": encode(1) + bytes(90_000), "secret.png": encode(1)}
    members |= {"crc.png": encode(1)}
    path = pack(tmp_path / "evil.zip", members)
    patch(path, b"liar.png", 24, b"\x40\0\0\0")  # declares 64 bytes
    patch(path, b"secret.png", 8, b"\x01\0")  # encrypted
    patch(path, b"crc.png", 16, b"\0\0\0\0")
    loaded = load(path)
    assert len(loaded.images) == 16
    reasons = dict(line.split(".png: ", 1) for line in loaded.skipped)
    assert {reasons.pop(name.removesuffix(".png").replace("\\", "/")) for name in outside} == {
        "its name points outside of the zip"
    }
    assert reasons == {
        "crc": "Bad CRC-32 for file 'crc.png'",
        "huge": "100,001 bytes are over the limit of 100,000",
        "liar": "Bad CRC-32 for file 'liar.png'",
        "secret": "it is encrypted",
    }


def test_no_more_of_a_zip_member_is_unpacked_than_it_declares(tmp_path: Path) -> None:
    path = pack(tmp_path / "bomb.zip", {"bomb.png": bytes(32 << 20), **sixteen()})
    patch(path, b"bomb.png", 24, b"\x40\0\0\0")
    tracemalloc.start()
    try:
        assert load(path).skipped == ("bomb.png: Bad CRC-32 for file 'bomb.png'",)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_generated_images_are_read_back(exported: Path, tmp_path: Path) -> None:
    seeds = ("--engine", exported / "g.onnx", "--provider", "cpu", "--seeds", "0-19")
    for form in ("png", "tar", "npy"):
        flags = ("--shard-size", "8") if form == "tar" else ()
        run_gantool("generate", *seeds, "--format", form, *flags, "-o", form, cwd=tmp_path, check=True)
    names = ("png", "tar", "npy/images.npy")
    one, *others = (load_images(str(tmp_path / name), square(32)).images for name in names)
    assert one.shape == (20, 32, 32, 1)
    for other in others:
        assert np.array_equal(one, other)


def test_labels_in_the_one_folder_that_is_packed(tmp_path: Path) -> None:
    text = {"labels": [[f"deep/{number:02d}.png", number % 4] for number in range(16)]}
    members = {f"top/{name}": content for name, content in sixteen().items()}
    path = pack(tmp_path / "set.zip", {**members, "top/dataset.json": json.dumps(text).encode()})
    labels = load(path).labels
    assert labels
    assert labels.values.tolist() == [number % 4 for number in range(16)]


def test_the_second_load_decodes_nothing(folder: Path) -> None:
    first = load(folder)
    image = folder / "03.png"
    status = image.stat()
    image.write_bytes(bytes(status.st_size))  # no image any more, but of the same size and time
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = load(folder)
    assert second.skipped == ()
    assert np.array_equal(second.images, first.images)
    assert load(folder, 1).skipped == ()  # what was found to be grey is also there for who asks for it
    with pytest.raises(GantoolError, match=r"15 readable images.*03\.png"):
        load(folder, 3)


@pytest.mark.parametrize("change", ["content", "time", "more", "fewer", "size"])
def test_a_change_is_noticed(folder: Path, change: str) -> None:
    save(folder / "99.png", 99)
    before = load(folder).images
    if change == "content":
        (folder / "03.png").write_bytes(encode(3, side=30))
    elif change == "time":
        os.utime(folder / "03.png", ns=(1, 1))
    elif change == "more":
        save(folder / "04b.png", 44)
    elif change == "fewer":
        (folder / "03.png").unlink()
    after = load_images(str(folder), square(16 if change == "size" else 8)).images
    assert len(list((cache_dir() / "images").glob("*.npy"))) == 2
    assert len(after) - len(before) == {"more": 1, "fewer": -1}.get(change, 0)


def test_each_ground_has_its_own_cache(folder: Path) -> None:
    Image.new("RGBA", (12, 12), (255, 0, 0, 0)).save(folder / "99.png")

    def corner(background: str) -> list[int]:
        images = load_images(str(folder), square(8), None, background).images
        return list(images[16, 0, 0])

    for _ in range(2):  # decoded, then cached
        assert corner("white") == corner("#ffffff") == [255, 255, 255]
        assert corner("black") == [0, 0, 0]
        assert corner("#0a1B2c") == [10, 27, 44]


def test_what_was_seen_is_said_of_the_cache_too(folder: Path) -> None:
    lines = []
    for _ in range(2):
        with logged() as said:
            load_images(str(folder), square(8))
        lines.append(said)
    assert lines[1] == [line for line in lines[0] if "decoded" not in line]
    assert lines[1][0].startswith("warning: 16 of 16 images are blank")


@pytest.mark.parametrize("damage", ["cut", "long", "header", "empty", "no note", "bad note"])
def test_a_damaged_cache_is_built_again(folder: Path, damage: str) -> None:
    before = np.array(load(folder).images)
    (cached,) = (cache_dir() / "images").glob("*.npy")
    whole = cached.read_bytes()
    broken = {
        "cut": whole[:-1],
        "long": whole + b"x",
        "header": whole.replace(b"|u1", b"|i1", 1),
        "empty": b"",
    }
    if damage in broken:
        cached.write_bytes(broken[damage])
    elif damage == "no note":
        cached.with_suffix(".json").unlink()
    else:
        cached.with_suffix(".json").write_text("[]")
    assert np.array_equal(load(folder).images, before)
    assert cached.read_bytes() == whole


def test_an_interrupted_decode_leaves_nothing(folder: Path) -> None:
    class Interrupts:
        """A reporter that gets Ctrl-C at the first image."""

        def task(self, label: str, total: float | None, unit: str) -> AbstractContextManager[Task]:
            assert (label, total, unit) == ("decoding", 16, "images")
            return nullcontext(self)

        def update(self, done: float, text: str = "", total: float | None = None) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), reported_to(Interrupts()):
        load_images(str(folder), square(8))
    assert list((cache_dir() / "images").iterdir()) == []


def test_a_cache_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(GantoolError, match=r"cannot be kept in .*GANTOOL_CACHE"):
        load(folder)


def test_too_few(folder: Path) -> None:
    (folder / "00.png").write_bytes(b"")
    with pytest.raises(
        GantoolError, match=rf"15 readable images, at least {listing.MIN_IMAGES}.*00.png: it is empty"
    ):
        load(folder)
    assert list((cache_dir() / "images").iterdir()) == []


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("text")
    with pytest.raises(GantoolError, match=r"no images; it has 1 \.txt file.*PNG, JPEG, WebP"):
        load(tmp_path / "other")
    with pytest.raises(GantoolError, match=r"no such file or folder.*fashion-mnist"):
        load(tmp_path / "missing")
    with pytest.raises(GantoolError, match=r"not a folder, and not a file that is read.*fashion-mnist"):
        load(tmp_path / "other" / "notes.txt")
    with pytest.raises(GantoolError, match="no images"):
        load(pack(tmp_path / "empty.zip", {}))


@pytest.mark.parametrize(("size", "channels"), [(0, None), (8, 2), (8, 5)])
def test_impossible_arguments(folder: Path, size: int, channels: int | None) -> None:
    with pytest.raises(UsageError):
        load_images(str(folder), square(size), channels)


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("GANTOOL_CACHE")
    variable = "LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME"
    monkeypatch.setenv(variable, str(tmp_path / "x"))
    assert cache_dir() == tmp_path / "x" / "gantool"
    monkeypatch.delenv(variable)
    assert cache_dir() == Path.home() / ".cache" / "gantool"
