"""Images to train on."""

from __future__ import annotations

import io
import json
import os
import runpy
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from field.cases import BROUGHT, Case, Folder, gantool

RUN = "--width 8 --kimg 0.1 --no-autotune --device cpu"
READ = "PNG, JPEG, WebP, GIF, BMP and TIFF"
rng = np.random.default_rng(0)


def odd(kind: str) -> Folder:
    """Return what writes one of the sets of odd_images.py."""
    return lambda folder: runpy.run_path(str(BROUGHT / "odd_images.py"))["main"](folder / kind, kind)


def split_folders(folder: Path) -> None:
    """Write train/ and val/ with three classes in each."""
    before = sys.argv
    sys.argv = ["class_folders.py", str(folder / "classes")]
    try:
        runpy.run_path(str(BROUGHT / "class_folders.py"))
    finally:
        sys.argv = before


def png(pixels: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", **options)
    return file.getvalue()


def noise(side: int = 32, channels: int = 0) -> Any:
    return rng.integers(0, 256, (side, side, channels) if channels else (side, side), np.uint8)


def tree(names: list[str], make: Callable[[], bytes] = lambda: png(noise())) -> Folder:
    """Return what writes an image under each name in `set/`."""

    def write(folder: Path) -> None:
        for name in names:
            path = folder / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make())

    return write


def many(*folders: str, count: int = 8) -> list[str]:
    return [f"{folder}/{number:02d}.png" for folder in folders for number in range(count)]


def both(*writers: Folder) -> Folder:
    return lambda folder: [write(folder) for write in writers]


def put(name: str, content: str | bytes) -> Folder:
    return lambda folder: (folder / name).write_bytes(
        content.encode() if isinstance(content, str) else content
    )


def glyph(ink: int, ground: int = 0) -> bytes:
    """Return a PNG of one grey level whose shape is in its transparency alone."""
    alpha = np.zeros((32, 32), np.uint8)
    top, left = rng.integers(2, 20, 2)
    alpha[top : top + 10, left : left + rng.integers(3, 10)] = 255
    return png(np.dstack([np.where(alpha[..., None], ink, ground).repeat(3, 2).astype(np.uint8), alpha]))


def deep(top: int) -> Callable[[], bytes]:
    """Return what makes a PNG of 16 bits with levels up to `top`, which each image has."""

    def make() -> bytes:
        levels = rng.integers(0, top, (32, 32)).astype(np.uint16)
        levels[0, 0] = top
        return png(levels)

    return make


def png16(levels: Any, clear: tuple[int, ...] = ()) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow cannot write; `clear` is the colour that is see-through."""

    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = levels.shape[:2]
    kind = 0 if levels.ndim == 2 else {2: 4, 3: 2, 4: 6}[levels.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
            chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear)) if clear else b"",
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        )
    )


def deep_colours(channels: int, top: int, clear: tuple[int, ...] = ()) -> Callable[[], bytes]:
    """Return what makes a PNG of 16 bits a channel with levels up to `top`, and half of it see-through."""

    def make() -> bytes:
        shape = (32, 32, channels) if channels > 1 else (32, 32)
        levels = rng.integers(0, top, shape).astype(np.uint16)
        levels[0, 0] = top
        if clear:
            levels[16:] = clear if channels > 1 else clear[0]
        if channels in (2, 4):
            levels[..., -1] = top  # opaque, as far as such a file goes
        return png16(levels, clear)

    return make


def saved(kind: str, image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def many_kinds(folder: Path) -> None:
    """Write 14 plain images into `set/`, and one each of what cameras, scanners and web pages leave."""
    tree([f"{number}.png" for number in range(14)], lambda: png(noise(channels=3)))(folder)
    first, *rest = (Image.fromarray(noise(channels=3)) for _ in range(3))
    turned = Image.Exif()
    turned[274] = 6
    files = {
        "cmyk.JPG": saved("jpeg", first.convert("CMYK")),
        "palette.PNG": saved("png", first.quantize(16), transparency=0),
        "moves.gif": saved("gif", first, save_all=True, append_images=rest),
        "moves.WEBP": saved("webp", first, save_all=True, append_images=rest),
        "moves.png": saved("png", first, save_all=True, append_images=rest),
        "turned.jpeg": saved("jpeg", Image.fromarray(noise(64, 3)[:40]), exif=turned),
        "bit.bmp": saved("bmp", first.convert("1")),
        "bit.png": saved("png", rest[0].convert("1")),
        "alpha.png": saved("png", Image.fromarray(noise(channels=4)).convert("LA")),
        "phone.jpg": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "float.tif": saved("tiff", Image.fromarray(rng.random((32, 32)).astype(np.float32))),
        "empty.png": b"",
        "lost.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
        "error.jpg": b"<!DOCTYPE html><html>404</html>",
        "photo.HEIC": b"x",
        "photo.avif": b"x",
    }
    for name, content in files.items():
        (folder / "set" / name).write_bytes(content)
    (folder / "set" / os.fsdecode(b"caf\xe9.png")).write_bytes(png(noise()))
    (folder / "set/round").symlink_to(folder / "set", target_is_directory=True)
    (folder / "set/itself.png").symlink_to("itself.png")


def array_of(array: Any) -> Folder:
    return lambda folder: np.save(folder / "a.npy", array)


def zip_named(name: str, members: dict[str, bytes]) -> Folder:
    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)

    return write


def pictures(*folders: str, count: int = 9) -> dict[str, bytes]:
    """Return images by their names in folders, which end in what separates them."""
    return {f"{folder}{number:02d}.png": png(noise()) for folder in folders for number in range(count)}


def as_labels(values: list[Any], folder: str = "") -> Folder:
    """Return what writes `set/`: 16 images, and these values for them in dataset.json."""
    names = [f"{folder}{number:02d}.png" for number in range(16)]
    text = json.dumps({"labels": [[name, value] for name, value in zip(names, values * 16, strict=False)]})
    return both(tree([name.replace("\\", "/") for name in names]), put("set/dataset.json", text))


def tar_of(name: str, members: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> Folder:  # noqa: A002
    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w", format=format) as tar:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))

    return write


def labelled(start: int = 0, count: int = 18, suffix: str = ".cls") -> dict[str, bytes]:
    """Return the members of a shard whose images have a class beside them: 0, 1, 2 or mug, cup, jar."""
    members = {}
    for number in range(start, start + count):
        name = ("mug", "cup", "jar")[number % 3]
        members[f"{number:06d}.png"] = png(noise())
        text = str(number % 3) if suffix == ".cls" else json.dumps({"label": name})
        members[f"{number:06d}{suffix}"] = text.encode()
    return members


def zip_of(dataset_json: bytes, method: int = zipfile.ZIP_DEFLATED) -> Folder:
    """Return what writes set.zip, with 16 images and a dataset.json."""

    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / "set.zip", "w") as archive:
            for number in range(16):
                archive.writestr(f"{number:02d}.png", png(noise()))
            archive.writestr("dataset.json", dataset_json, method)

    return write


def patched(offset: int, value: bytes, in_data: bool = False) -> Folder:
    """Return what changes the entry of dataset.json in set.zip: its central header, or its packed bytes."""

    def write(folder: Path) -> None:
        path = folder / "set.zip"
        content = bytearray(path.read_bytes())
        place = content.index(b"dataset.json") + 12 if in_data else content.rindex(b"dataset.json") - 46
        content[place + offset : place + offset + len(value)] = value
        path.write_bytes(content)

    return write


def cut(name: str, share: float) -> Folder:
    def write(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return write


LABELS = json.dumps({"labels": [[f"{number:02d}.png", number % 2] for number in range(16)]}).encode()
DAMAGED = {
    "encrypted": ("it is encrypted", both(zip_of(LABELS), patched(8, b"\1"))),
    "crc": ("Bad CRC-32", both(zip_of(LABELS), patched(16, b"\0\0\0\0"))),
    "deflate": ("decompressing", both(zip_of(LABELS), patched(0, b"\xff" * 12, in_data=True))),
    "method": ("compression", both(zip_of(LABELS), patched(10, b"\x63"))),
    "bzip2": (
        "Invalid data stream",
        both(zip_of(LABELS, zipfile.ZIP_BZIP2), patched(0, b"\xff" * 12, in_data=True)),
    ),
    "not-json": ("is damaged", zip_of(b"labels: none")),
    "deep": ("is damaged", zip_of(b'{"labels": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    "text": ('is damaged ("labels" is a text, not a list)', zip_of(b'{"labels": "00.png"}')),
    "bool": ("is not a whole number", zip_of(b'{"labels": [["00.png", true]]}')),
    "latin-1": ("is damaged", zip_of('{"labels": [["é.png", 1]]}'.encode("latin-1"))),
    "twice": ("00.png is there twice", zip_of(b'{"labels": [["00.png", 1], ["00.png", 0]]}')),
    "missing": ("has no label for 01.png", zip_of(b'{"labels": [["00.png", 1]]}')),
}


def nothing_above(folder: Path) -> None:
    """See that a name with .. in it led nowhere."""
    assert not (folder.parent / "up.png").exists()


CASES: list[Case] = [
    # transparency
    Case(
        "white-glyphs",
        "data white_icons --background white",
        1,
        (
            "holds 1 different readable image in 24 files",
            "24 of 24 images are blank after blending with white",
            "give --background black",
        ),
        prepare=odd("white_icons"),
    ),
    Case(
        "white-glyphs-kept",
        "data white_icons",
        says=("24 images of 64×64×4", "24 of 24 images are transparent in part: kept, 4 channels"),
        never=("blank",),
        prepare=odd("white_icons"),
    ),
    Case(
        "white-glyphs-on-black",
        "data white_icons --background black",
        says=("24 images of 64×64×3", "blended with black"),
        never=("blank",),
        prepare=odd("white_icons"),
    ),
    Case(
        "white-glyphs-trained",
        f"train --data white_icons --background white {RUN}",
        says=("24 of 24 images are blank after blending with white: give --background black",),
        prepare=odd("white_icons"),
    ),
    Case(
        "black-glyphs-on-black",
        "data set --background #000000",
        1,
        ("blank after blending with #000000: give --background white",),
        prepare=tree(many("a", "b"), lambda: glyph(0)),
    ),
    Case(
        "pale-glyphs",
        "data set --background white",
        says=("24 of 24 images are blank after blending with white",),
        prepare=tree(many("a", count=24), lambda: glyph(int(rng.integers(243, 254)))),
    ),
    Case(
        "nothing-but-transparent",
        "data set",
        1,
        ("16 of 16 images are blank or nearly so",),
        ("--background black",),
        prepare=tree(many("a", "b"), lambda: png(np.zeros((16, 16, 4), np.uint8))),
    ),
    Case(
        "a-ground-that-is-none",
        "train --data set --background pink",
        2,
        ("--background pink: give white, black or a colour as #rrggbb",),
    ),
    # contrast and depth
    Case(
        "twelve-bits-in-sixteen",
        "data bits12",
        says=("24 of 24 images are files of 16 bits that use only 12: 4,095 was taken for white",),
        never=("warning",),
        prepare=odd("bits12"),
    ),
    Case(
        "ten-bits-in-sixteen",
        f"train --data set {RUN}",
        says=("use only 10: 1,023 was taken for white",),
        prepare=tree(many("a", "b"), deep(1000)),
    ),
    Case(
        "sixteen-bits",
        "data set",
        says=("16 images of 32×32×1",),
        never=("16 bits", "warning"),
        prepare=tree(many("a", "b"), deep(50_000)),
    ),
    *(
        Case(
            f"twelve-bits-in-sixteen-of-{channels}-channels",
            "data set",
            says=("16 of 16 images are files of 16 bits that use only 12: 4,095 was taken for white",),
            never=("warning", "transparent"),
            prepare=tree(many("a", "b"), deep_colours(channels, 4095)),
        )
        for channels in (2, 3, 4)
    ),
    *(
        Case(
            f"sixteen-bits-see-through-{len(clear)}",
            "data set --background black",
            says=("16 of 16 images are transparent in part: blended with black", "use only 12"),
            never=("warning",),
            prepare=tree(many("a", "b"), deep_colours(len(clear), 4095, clear)),
        )
        for clear in ((60_000,), (500, 60_000, 7))
    ),
    Case(
        "hardly-any-contrast",
        "data set",
        says=("16 of 16 images are blank or nearly so (they span fewer than 16 of 256 grey levels)",),
        prepare=tree(many("a", "b"), lambda: png((120 + noise() // 32).astype(np.uint8))),
    ),
    Case(
        "all-of-it-dark",
        "data set",
        says=("the pixels of all images lie between 0 and 31 of 255",),
        prepare=tree(many("a", "b"), lambda: png((noise() // 8).astype(np.uint8))),
    ),
    # classes
    Case(
        "splits-above-classes",
        "data classes",
        says=("3 classes:", "cat  16", "train, val: taken for splits", "--conditional"),
        prepare=split_folders,
    ),
    Case(
        "splits-above-classes-trained",
        f"train --data classes --conditional {RUN}",
        says=("3 classes: cat: 16, dog: 16, fox: 16", "taken for splits of one set"),
        prepare=split_folders,
    ),
    Case(
        "splits-in-a-set",
        "data set",
        says=("2 classes:", "cat  16", "Testing_set, Training: taken for splits"),
        prepare=tree(
            many(
                *(f"pets/{split}/{name}" for split in ("Training", "Testing_set") for name in ("cat", "dog"))
            )
        ),
    ),
    Case(
        "splits-in-two-sets",
        "data set",
        says=("2 classes:", "cat  32"),
        prepare=tree(
            many(*(f"{a}/{b}/{c}" for a in ("x", "y") for b in ("train", "val") for c in ("cat", "dog")))
        ),
    ),
    Case(
        "splits-below-classes",
        "data set",
        says=("2 classes:", "cat  16"),
        prepare=tree(many(*(f"{name}/{split}" for name in ("cat", "dog") for split in ("train", "val")))),
    ),
    Case(
        "splits-without-classes",
        "train --data ./set/../set --conditional",
        2,
        ("--conditional: ./set/../set has no labels (test, train are splits of one set, not classes)",),
        ("decoded",),
        prepare=tree(many("train", "test")),
    ),
    Case(
        "a-split-without-classes",
        "train --data set --cond",
        2,
        ("8 of its 24 images lie in no class folder, such as test/00.png",),
        prepare=tree(many("train/cat", "train/dog", "test")),
    ),
    *(
        Case(
            f"splits-by-what-they-hold-{names[0]}",
            "data set",
            says=("2 classes:", "cat  16", f"{', '.join(names)}: taken for splits"),
            prepare=tree(many(*(f"{name}/{inner}" for name in names for inner in ("cat", "dog")))),
        )
        for names in (("fold1", "fold2"), ("0.2_test", "0.8_train"), ("entrenamiento", "prueba"))
    ),
    Case(
        "splits-by-a-word",
        "data set",
        says=("2 classes:", "sea  16", "seg_test, seg_train: taken for splits"),
        prepare=tree(many("seg_train/seg_train/sea", "seg_test/seg_test/sea", "seg_train/seg_train/ice")),
    ),
    Case(
        "splits-of-persons",
        "data set",
        says=("no classes: bounding_box_train, gallery, query are splits of one set, not classes",),
        never=("--conditional",),
        prepare=tree(many("bounding_box_train", "gallery", "query")),
    ),
    Case(
        "buckets",
        "data set",
        says=("no classes: 00000, 01000 are buckets, not classes",),
        never=("--conditional",),
        prepare=tree([f"{start:05d}/{start + n:05d}.png" for start in (0, 1000) for n in range(8)]),
    ),
    Case(
        "classes-with-numbers",
        "data set",
        says=("2 classes:", "00001  8"),
        prepare=tree(many("00000", "00001")),
    ),
    Case(
        "a-train-among-vehicles",
        "data set",
        says=("3 classes:", "train  8", "taken for a class"),
        prepare=tree(many("bus", "car", "train")),
    ),
    Case(
        "a-folder-beside-splits",
        "data set",
        1,
        ("train, val: splits of one set, with raw beside: give set/train alone, or take raw out of there",),
        prepare=tree(many("train/cat", "train/dog", "val/cat", "val/dog", "raw")),
    ),
    Case(
        "a-folder-beside-splits-conditional",
        "train --data ./set --conditional",
        1,
        ("give ./set/train alone",),
        prepare=tree(many("train", "test", "all")),
    ),
    Case(
        "two-sides-of-a-translation",
        f"train --data set {RUN}",
        says=(
            "going on without labels: testA, testB, trainA, trainB: the two sides of an unpaired translation",
            "give set/trainA alone",
        ),
        prepare=tree(many("trainA", "trainB", "testA", "testB")),
    ),
    Case(
        "masks-beside-pictures",
        f"train --data set {RUN}",
        says=("images, masks: pictures and what belongs to each, not classes: give set/train/images alone",),
        prepare=both(
            tree(many("train/images", "train/masks")),
            lambda folder: gantool(f"train --data set {RUN}", folder),  # what is cached says it again
        ),
    ),
    Case(
        "masks-beside-pictures-in-a-zip",
        "data set.zip",
        1,
        ("image, mask: pictures and what belongs to each, not classes: unpack it and give s/image alone",),
        prepare=zip_named("set.zip", pictures("s/image/", "s/mask/")),
    ),
    Case(
        "classes-of-one-image",
        f"train --data set --conditional {RUN}",
        says=(
            "too few images to learn a class from: owl (1)",
            "the classes are unbalanced: cat has 40 images, owl 1",
        ),
        prepare=tree([*many("cat", count=40), "owl/0.png"]),
    ),
    # kinds of files
    Case("tiff", "data tiff", says=("24 images of 64×64×3",), prepare=odd("tiff")),
    Case(
        "tiff-of-many-pages",
        f"train --data set {RUN}",
        says=("16 of 16 images have several pages or frames: the first was read",),
        prepare=tree(
            [f"{n}.tiff" for n in range(16)],
            lambda: saved(
                "tiff", Image.fromarray(noise()), save_all=True, append_images=[Image.fromarray(noise())]
            ),
        ),
    ),
    Case(
        "kinds-of-all-sorts",
        "data set",
        says=(
            "24 images of 32×32×3, of 30 files",
            "1 of 24 images have another aspect ratio: cropped to the middle",
            "3 of 24 images have several pages or frames: the first was read",
            "2 of 24 images are transparent in part",
            "left out phone.jpg: it is a HEIC image: convert it to PNG or JPEG",
            "left out float.tif: its pixels are floating-point numbers",
            "left out empty.png: it is empty: copy or download it again",
            "left out lost.png: it is a Git LFS pointer, not the file itself: run git lfs pull",
            "left out error.jpg: it is a web page",
            "left out itself.png: it is not a file that can be read",
            "not read: 1 .heic file, 1 .avif file",
        ),
        prepare=many_kinds,
    ),
    Case(
        "bigtiff-without-suffix",
        "data set",
        says=("16 images of 32×32×1",),
        prepare=tree(
            [f"{number:032x}" for number in range(16)],
            lambda: saved("tiff", Image.fromarray(noise()), big_tiff=True),
        ),
    ),
    Case("no-suffix", "data no_suffix", says=("24 images of 64×64×3",), prepare=odd("no_suffix")),
    *(
        Case(
            f"kinds-that-are-not-read-{command.split()[0]}",
            command,
            1,
            ("holds no images; it has 24 .heic files, 3 .txt files, 1 file without suffix", READ),
            prepare=tree(
                [*(f"{n}.heic" for n in range(24)), "a.txt", "b.txt", "c.txt", "README"], lambda: b"x" * 20
            ),
        )
        for command in ("data set", "train --data set", "evaluate set --data set")
    ),
    Case(
        "kinds-that-are-not-read-beside-others",
        f"train --data set {RUN}",
        says=("not read: 2 .avif files",),
        prepare=tree([*many("a", "b"), "x.avif", "y.avif"]),
    ),
    Case(
        "webdataset",
        "data webdataset/shard-000000.tar",
        says=("24 images of 64×64×3",),
        prepare=odd("webdataset"),
    ),
    Case(
        "webdataset-trained",
        f"train --data webdataset {RUN}",
        says=("24 images of webdataset",),
        prepare=odd("webdataset"),
    ),
    Case(
        "webdataset-of-classes",
        f"train --data set --conditional {RUN}",
        says=("3 classes: 0: 12, 1: 12, 2: 12",),
        never=("not read",),
        prepare=both(tar_of("set/s-0.tar", labelled()), tar_of("set/s-1.tar", labelled(18))),
    ),
    Case(
        "webdataset-of-named-classes",
        "data s.tar",
        says=("3 classes:", "cup  6"),
        prepare=tar_of("s.tar", labelled(suffix=".json")),
    ),
    *(
        Case(
            f"webdataset-beside-{len(sheets)}-sheets",
            "data set",
            says=("36 images of 32×32×1", f"not read: {len(sheets)} .png file", "3 classes:"),
            prepare=both(
                tar_of("set/s-0.tar", labelled()),
                tar_of("set/s-1.tar", labelled(18)),
                *(tar_of(f"set/e-{n}.tar", {}) for n in range(len(sheets))),
                tree(sheets),
            ),
        )
        for sheets in (["grid.png"], [f"grid-{n}of16.png" for n in range(16)])
    ),
    Case(
        "webdataset-of-a-class-below-zero",
        "data s.tar",
        1,
        ("class -1 is not a whole number from 0",),
        prepare=tar_of("s.tar", {**pictures("s", count=16), "s00.cls": b"-1"}),
    ),
    Case(
        "webdataset-of-labels-from-one",
        "data s.tar",
        says=("no image has class 0: do the labels start at 1?",),
        prepare=tar_of(
            "s.tar", {**pictures("s", count=16), **{f"s{n:02d}.cls": b"12"[n % 2 :][:1] for n in range(16)}}
        ),
    ),
    Case(
        "webdataset-of-pictures-and-masks",
        "data s.tar",
        1,
        (
            "image, mask: pictures and what belongs to each, not classes: pack a tar of the .image files alone",
        ),
        prepare=tar_of(
            "s.tar", {f"{n:02d}.{view}.png": png(noise()) for n in range(16) for view in ("image", "mask")}
        ),
    ),
    Case(
        "webdataset-of-other-json",
        "data s.tar",
        says=('not read: 16 .json files without "label"',),
        prepare=tar_of(
            "s.tar", {**pictures("s", count=16), **{f"s{n:02d}.json": b'{"class": 1}' for n in range(16)}}
        ),
    ),
    Case(
        "labels-in-another-case",
        "data set",
        1,
        ("has no label for 00.PNG (but for 00.png: upper and lower case differ)",),
        prepare=both(
            tree([f"{n:02d}.PNG" for n in range(16)]),
            put("set/dataset.json", json.dumps({"labels": [[f"{n:02d}.png", 0] for n in range(16)]})),
        ),
    ),
    Case(
        "arrays-of-several-splits",
        "data a.npz",
        1,
        ("2 arrays of images (x_train, x_test)", "np.save('x_train.npy', np.load('a.npz')['x_train'])"),
        prepare=lambda folder: np.savez(
            folder / "a.npz",
            x_train=np.zeros((16, 8, 8, 3), np.uint8),
            x_test=np.zeros((16, 8, 8, 3), np.uint8),
        ),
    ),
    *(
        Case(
            f"array-to-mend-{mend}",
            "data a.npy",
            1,
            (f"np.save('images.npy', {mend})",),
            prepare=array_of(array),
        )
        for mend, array in (
            ("x.transpose(0, 2, 3, 1)", np.zeros((16, 3, 8, 8), np.uint8)),
            ("(x * 255).astype('uint8')", np.ones((16, 8, 8, 3), np.float32)),
        )
    ),
    Case(
        "tar-beside-its-images",
        "data set",
        says=("18 images of 32×32×1, of 18 files", "not read: 1 .tar file"),
        prepare=both(tar_of("set/s.tar", labelled()), tree(many("a", "b", count=9))),
    ),
    Case(
        "array-beside-its-sheet",
        "data npy",
        1,
        ("holds 1 different readable image in 1 file", "not read: 1 .npy file", "name the .npy itself"),
        prepare=both(odd("npy"), put("npy/grid.png", png(noise()))),
    ),
    Case(
        "webdataset-of-numbers-and-a-word",
        "data s.tar",
        says=("  0  2  6", "  1  10  6", "  2  cat  6"),
        prepare=tar_of(
            "s.tar",
            labelled() | {f"{n:06d}.cls": ("10", "cat", "2")[n % 3].encode() for n in range(18)},
        ),
    ),
    *(
        Case(f"names-in-{name}", f"data {name}", says=("18 images", "2 classes:", "cat  9"), prepare=prepare)
        for name, prepare in (
            ("pax.tar", tar_of("pax.tar", pictures("./cat/" + "é" * 120, "./dog/") | {"./._1.png": b"x"})),
            (
                "gnu.tar",
                tar_of("gnu.tar", pictures(".//cat/" + "e" * 120, ".//dog/"), tarfile.GNU_FORMAT),
            ),
            ("dot.zip", zip_named("dot.zip", pictures("./cat/", "./dog/"))),
            ("win.zip", zip_named("win.zip", pictures("set\\cat\\", "set\\dog\\") | {"set\\dog\\": b""})),
        )
    ),
    Case(
        "zip-in-a-zip",
        "train --data set.zip",
        1,
        ("set.zip holds no images; it has 1 .zip file", "unpack set.zip, and name the .zip"),
        prepare=zip_named("set.zip", {"inner.zip": b"PK"}),
    ),
    Case(
        "zeros-for-a-tar",
        "data s.tar",
        1,
        ("s.tar holds nothing but zeros: copy or download it again",),
        prepare=put("s.tar", bytes(10_240)),
    ),
    Case(
        "webdataset-with-a-label-missing",
        "train --data s.tar --conditional",
        1,
        ("s.tar: 00000x.png has no class beside it",),
        prepare=tar_of("s.tar", labelled() | {"00000x.png": png(noise())}),
    ),
    Case(
        "tar-with-evil-names",
        "data s.tar",
        says=("18 images", "left out ../up.png: its name points outside of the tar"),
        prepare=tar_of("s.tar", labelled() | {"../up.png": png(noise()), "/root.png": png(noise())}),
        then=nothing_above,
    ),
    Case(
        "tar-cut-off",
        "data s.tar",
        1,
        ("s.tar is cut off",),
        prepare=both(tar_of("s.tar", labelled()), cut("s.tar", 0.5)),
    ),
    Case(
        "tar-that-goes-back",
        "data s.tar",
        1,
        ("s.tar ",),
        prepare=both(tar_of("s.tar", labelled()), lambda folder: backwards(folder / "s.tar")),
    ),
    Case(
        "tar-damaged",
        "train --data set",
        1,
        ("set/b.tar is damaged after byte",),
        prepare=both(
            tar_of("set/a.tar", labelled()),
            tar_of("set/b.tar", labelled()),
            lambda folder: put("set/b.tar", damaged_header((folder / "set/b.tar").read_bytes()))(folder),
        ),
    ),
    Case("npy", "data npy/images.npy", says=("24 images of 64×64×3",), prepare=odd("npy")),
    Case(
        "npy-cut-off",
        "train --data npy/images.npy",
        1,
        ("npy/images.npy cannot be read as an array (it is cut off)",),
        prepare=both(odd("npy"), cut("npy/images.npy", 0.5)),
    ),
    Case(
        "npy-of-floats",
        "data x.npy",
        1,
        ("x.npy holds float64 [20, 8, 8]",),
        prepare=lambda folder: np.save(folder / "x.npy", np.zeros((20, 8, 8))),
    ),
    Case(
        "npz",
        "data x.npz",
        says=("20 images of 16×16×3",),
        prepare=lambda folder: np.savez_compressed(
            folder / "x.npz", images=rng.integers(0, 255, (20, 16, 16, 3), np.uint8), seeds=np.arange(20)
        ),
    ),
    Case(
        "zip-cut-off",
        "train --data set.zip",
        1,
        ("set.zip is a zip that is cut off",),
        prepare=both(zip_of(LABELS), cut("set.zip", 0.7)),
    ),
    Case(
        "lfs-pointer",
        "data set.zip",
        1,
        ("set.zip is a Git LFS pointer",),
        prepare=put("set.zip", "version https://git-lfs.github.com/spec/v1\n"),
    ),
    Case(
        "tar-gz",
        "data set.tar.gz",
        1,
        ("is compressed by gzip: unpack it",),
        prepare=put("set.tar.gz", b"\x1f\x8b\x08" + bytes(40)),
    ),
    Case(
        "one-image",
        "train --data a.png",
        1,
        ("a.png is a single image: give the folder",),
        prepare=put("a.png", png(noise())),
    ),
    Case(
        "mixed",
        "data mixed",
        says=(
            "2 of 40 images have another aspect ratio: cropped",
            "2 of 40 images are transparent in part: blended with white",
            "left out truncated.png",
            "left out empty.png",
        ),
        prepare=odd("mixed"),
    ),
    # dataset.json
    *(
        Case(f"labels-{name}", "data set.zip", 1, ("set.zip: dataset.json", text), prepare=prepare)
        for name, (text, prepare) in DAMAGED.items()
    ),
    Case(
        "labels-damaged-but-not-wanted",
        f"train --data set.zip {RUN}",
        says=("going on without labels:", "set.zip: dataset.json cannot be read"),
        prepare=DAMAGED["crc"][1],
    ),
    Case(
        "labels-damaged-in-a-folder",
        "train --data set --conditional",
        1,
        ("set/dataset.json is damaged",),
        ("decoded",),
        prepare=both(tree(many("a", "b")), put("set/dataset.json", "{")),
    ),
    Case(
        "labels-with-a-mark-of-the-byte-order",
        "data set.zip",
        says=("2 classes:",),
        prepare=zip_of(b"\xef\xbb\xbf" + LABELS),
    ),
    Case(
        "labels-of-files-that-are-gone",
        "data set",
        says=("2 classes:", "dataset.json names 14 files that are not images of the set, such as 02.png"),
        prepare=both(
            tree([f"{n:02d}.png" for n in (0, 1, *range(20, 40))]),
            put(
                "set/dataset.json",
                json.dumps(
                    {
                        "labels": [[f"{n:02d}.png", n % 2] for n in range(40)][:16]
                        + [[f"{n}.png", 1] for n in range(20, 40)]
                    }
                ),
            ),
        ),
    ),
    *(
        Case(f"labels-{name}", "data set", 0, (*says,), prepare=prepare)
        for name, says, prepare in (
            ("in-quotes", ("2 classes:", "  1  1  8"), as_labels(["0", "1"])),
            ("of-floats", ("2 classes:", "  1  1  8"), as_labels([0.0, 1.0])),
            ("of-words", ("2 classes:", "  0  cat  8"), as_labels(["dog", "cat"])),
            ("of-words-and-numbers", ("  0  2  5", "  1  10  6", "  2  cat  5"), as_labels(["10", "cat", 2])),
            ("of-Windows", ("2 classes:",), as_labels([0, 1], "a\\")),
            ("all-null", ("next:",), as_labels([None])),
        )
    ),
    *(
        Case(f"labels-{name}", "data set", 1, ("set/dataset.json", *says), prepare=as_labels(values))
        for name, says, values in (
            ("half-null", ("has no label for 01.png: add it, or leave labels out",), [1, None]),
            ("of-halves", ("01.png: class 0.5 is not a whole number from 0 to 9999",), [0, 0.5]),
            ("one-hot", ("00.png: class [0, 1] is not a whole number",), [[0, 1], [1, 0]]),
        )
    ),
    Case(
        "labels-of-another-machine",
        "data set",
        1,
        ("set/dataset.json has no label for 00.png (but for C:/data/00.png, which is not there)",),
        prepare=both(
            as_labels([0]),
            put(
                "set/dataset.json", json.dumps({"labels": [[f"C:\\data\\{n:02d}.png", 0] for n in range(16)]})
            ),
        ),
    ),
    Case(
        "labels-in-a-list",
        "data set",
        1,
        ('set/dataset.json is damaged (it is a list without "labels"): expected {"labels":',),
        prepare=both(as_labels([0]), put("set/dataset.json", "[3]")),
    ),
    # the command that fits
    Case(
        "few-images-of-classes",
        "data set -o my_icons.zip",
        says=(
            "gantool train --data my_icons.zip --preset small --conditional   # for small sets such",
            "as icons: 32 images; 2 classes",
        ),
        prepare=tree(many("cat", "dog", count=16), lambda: png(noise(64))),
    ),
    Case(
        "larger-than-the-preset",
        f"train --data set {RUN}",
        says=(
            "the images are 64×64; this preset makes 32×32 (to keep more of them: --preset small)",
            "16 images are few",
        ),
        prepare=tree(many("a", "b"), lambda: png(noise(64))),
    ),
    Case(
        "originals-of-many-sizes",
        "data set",
        says=(
            "16 images of 64×64×1",
            "32×32 to 128×128 pixels, most often 128×128 (7 of 16), half of them 64 or more",
        ),
        prepare=lambda folder: [
            tree([f"{side}/{n}.png" for n in range(count)], lambda side=side: png(noise(side)))(folder)  # type: ignore[misc]
            for side, count in ((32, 4), (64, 5), (128, 7))
        ],
    ),
    Case(
        "dry-run",
        "train -n --data set --conditional --loss wgan-gp --preset dcgan64",
        says=('"channels": 3', '"classes": 2', '"gp": 10.0', '"r1": 0.0', '"size": 64', '"lr_d": 0.0002'),
        never=("decoded",),
        prepare=tree(many("a", "b", count=9), lambda: png(noise(32, 3))),
    ),
    Case("preset-misspelt", "train --preset smal", 2, ("--preset smal: did you mean small?",)),
    Case("two-channels", "train --channels 2", 2, ("channels 2 is unknown: choose 1, 3, 4",)),
]


def backwards(path: Path) -> None:
    """Give the first member of a tar a size of -1024 bytes."""
    info = tarfile.TarInfo("0.png")
    header = bytearray(info.tobuf())
    header[124:136] = (2**96 - 1024).to_bytes(12, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    path.write_bytes(bytes(header) + path.read_bytes()[512:])


def damaged_header(content: bytes) -> bytes:
    """Return a tar whose second header is no header."""
    second = 512 + -(-int(content[124:135], 8) // 512) * 512
    return content[: second + 148] + b"garbage\0" + content[second + 156 :]
