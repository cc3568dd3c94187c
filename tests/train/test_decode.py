"""One image file to one square of uint8: every mode and format, with the pixels that must come out."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from gantool.models import square
from gantool.train.data.decode import Into, fit, open_image
from gantool.train.data.facts import Tally


def decode(image: Image.Image, kind: str = "PNG", size: int = 8, **options: Any) -> NDArray[np.uint8]:
    """Save and decode again."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return fit(open_image(file.getvalue()), Into(square(size))).pixels


def assert_all(pixels: NDArray[np.uint8], *colour: int, within: int = 0) -> None:
    assert pixels.shape == (8, 8, len(colour))
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - colour).max() <= within, pixels[0, 0]


@pytest.mark.parametrize(
    ("kind", "within", "options"),
    [
        ("PNG", 0, {}),
        ("BMP", 0, {}),
        ("WEBP", 0, {"lossless": True}),
        ("GIF", 0, {}),
        ("JPEG", 3, {"quality": 95}),
    ],
)
def test_format_keeps_the_colour(kind: str, within: int, options: dict[str, Any]) -> None:
    assert_all(decode(Image.new("RGB", (20, 20), (200, 60, 30)), kind, **options), 200, 60, 30, within=within)


def test_a_tiff_is_turned_once_and_its_first_page_is_taken() -> None:
    first, second = np.zeros((20, 30), np.uint8), np.full((20, 30), 255, np.uint8)
    first[:10] = 200  # bright above, which a quarter turn brings to the right
    file = io.BytesIO()
    pages = [Image.fromarray(second)]
    Image.fromarray(first).save(file, "TIFF", save_all=True, append_images=pages, tiffinfo={274: 6})
    fitted = fit(open_image(file.getvalue()), Into(square(8)))
    assert fitted.several
    assert fitted.sides == (20, 30)
    assert fitted.pixels[4, 6, 0] > 150
    assert fitted.pixels[4, 1, 0] < 50


@pytest.mark.parametrize(
    ("image", "ground", "expected"),
    [
        (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), "black", (0, 0, 0)),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 51)), "#00ff00", (51, 204, 0)),
        (Image.new("LA", (9, 9), (255, 51)), "black", (51,)),
        (Image.new("LA", (9, 9), (0, 0)), "#102030", (16, 32, 48)),  # a grey image on a ground of colour
        (Image.new("L", (9, 9), 7), "#102030", (7,)),
    ],
)
def test_the_ground_is_what_was_asked_for(image: Image.Image, ground: str, expected: tuple[int, ...]) -> None:
    assert_all(fit(image, Into(square(8), background=ground)).pixels, *expected)


@pytest.mark.parametrize(("top", "bits"), [(255, 8), (1000, 10), (4095, 12), (16383, 14), (16384, 16)])
def test_levels_of_files_of_sixteen_bits(top: int, bits: int) -> None:
    ramp = np.linspace(0, top, 64).reshape(8, 8).astype(np.uint16)
    tally = Tally()
    tally.add(fit(Image.fromarray(ramp), Into(square(8))))
    assert tally.bits == bits
    pixels = fit(Image.fromarray(ramp), Into(square(8), bits=bits)).pixels[..., 0]
    assert np.abs(pixels - ramp * (255 / (2**bits - 1))).max() <= 0.51


def test_signed_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="its levels go from -1,024 to 500"):
        fit(Image.fromarray(np.linspace(-1024, 500, 64).reshape(8, 8).astype(np.int32)), Into(square(8)))


def test_grey_modes_give_one_channel() -> None:
    assert_all(decode(Image.new("L", (9, 9), 77)), 77)
    assert_all(decode(Image.new("1", (9, 9), 1)), 255)
    assert_all(decode(Image.new("L", (9, 9), 77), "JPEG"), 77, within=1)


def test_transparency_is_laid_over_white() -> None:
    assert_all(decode(Image.new("RGBA", (9, 9), (255, 0, 0, 0))), 255, 255, 255)
    assert_all(decode(Image.new("RGBA", (9, 9), (255, 0, 0, 51))), 255, 204, 204)
    assert_all(decode(Image.new("LA", (9, 9), (0, 51))), 204)
    webp = decode(Image.new("RGBA", (9, 9), (255, 0, 0, 51)), "WEBP", lossless=True)
    assert_all(webp, 255, 204, 204)
    keyed = decode(Image.new("RGB", (9, 9), (1, 2, 3)), transparency=(1, 2, 3))
    assert_all(keyed, 255, 255, 255)
    assert_all(decode(Image.new("L", (9, 9), 5), transparency=5), 255)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_and_without_transparency(kind: str) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.paste(0, (0, 0, 8, 4))
    opaque = decode(image, kind)
    assert opaque[0, 0].tolist() == [10, 20, 30]
    assert opaque[7, 7].tolist() == [200, 100, 0]
    keyed = decode(image, kind, transparency=0)
    assert keyed[0, 0].tolist() == [255, 255, 255]
    assert keyed[7, 7].tolist() == [200, 100, 0]


def test_palette_with_an_alpha_for_each_colour() -> None:
    image = Image.new("P", (9, 9), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert_all(decode(image, transparency=bytes([255, 51])), 255, 204, 204)


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.array([[0, 256, 257, 32768, 40000, 65278, 65407, 65535]] * 8, np.uint16)
    pixels = decode(Image.fromarray(ramp))  # mode I;16
    assert pixels[0, :, 0].tolist() == [0, 1, 1, 128, 156, 254, 255, 255]
    # what Pillow before 11 opens the same file as
    assert np.array_equal(fit(Image.fromarray(ramp.astype(np.int32)), Into(square(8))).pixels, pixels)


def test_16_bit_rgb_png() -> None:
    row = b"\0" + struct.pack(">3H", 0xFFFF, 0x8080, 0x0101) * 8

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">2I5B", 8, 8, 16, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row * 8)) + chunk(b"IEND", b"")
    assert_all(fit(open_image(png), Into(square(8))).pixels, 255, 128, 1)


def test_cmyk_jpeg() -> None:
    assert_all(decode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), 255, 0, 0, within=4)


def test_floating_point_has_no_known_range() -> None:
    with pytest.raises(ValueError, match="no known range"):
        fit(Image.new("F", (8, 8)), Into(square(8)))


def test_the_channels_asked_for() -> None:
    red, grey = Image.new("RGB", (9, 9), (255, 0, 0)), Image.new("L", (9, 9), 9)
    assert_all(fit(red, Into(square(8), 1)).pixels, 76)  # ITU-R 601
    assert_all(fit(grey, Into(square(8), 3)).pixels, 9, 9, 9)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    """A mark in the corner that EXIF 2.32, 4.6.5.1 (tag 274) calls the visual top left ends up there."""
    stored_at = {1: (0, 0), 2: (0, 7), 3: (7, 7), 4: (7, 0), 5: (0, 0), 6: (7, 0), 7: (7, 7), 8: (0, 7)}
    marks = np.zeros((8, 8), np.uint8)
    marks[stored_at[orientation]] = 255
    # the pixel beside the mark, along the visual row, tells a turn from a reflection
    beside = {1: (0, 1), 2: (0, 6), 3: (7, 6), 4: (7, 1), 5: (1, 0), 6: (6, 0), 7: (6, 7), 8: (1, 7)}
    marks[beside[orientation]] = 100
    exif = Image.Exif()
    exif[274] = orientation
    pixels = decode(Image.fromarray(marks), exif=exif)[:, :, 0]
    assert pixels[0, :3].tolist() == [255, 100, 0]
    assert pixels.sum() == 355


def test_the_middle_of_a_long_image() -> None:
    stripes = np.zeros((8, 24, 3), np.uint8)
    stripes[:, :8], stripes[:, 8:16], stripes[:, 16:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert_all(decode(Image.fromarray(stripes)), 0, 255, 0)
    assert_all(decode(Image.fromarray(stripes.transpose(1, 0, 2).copy())), 0, 255, 0)


def test_resizing_does_not_alias() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = fit(Image.fromarray(board), Into(square(16))).pixels
    assert np.abs(pixels.astype(int) - 128).max() <= 2


@settings(max_examples=60)
@given(
    width=st.integers(1, 80),
    height=st.integers(1, 80),
    size=st.sampled_from([1, 8, 32]),
    mode=st.sampled_from(["1", "L", "LA", "I;16", "P", "RGB", "RGBA"]),
    channels=st.sampled_from([None, 1, 3]),
)
def test_any_image_gives_the_size_asked_for(
    width: int, height: int, size: int, mode: str, channels: int | None
) -> None:
    pixels = fit(Image.new(mode, (width, height)), Into(square(size), channels)).pixels
    assert pixels.shape == (size, size, channels or (3 if mode in ("P", "RGB", "RGBA") else 1))
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_tiff_of_sixteen_bits_a_channel(mode: str, bits: int, order: str, packed: bool) -> None:
    levels = np.random.default_rng(bits).integers(0, 2**bits, (8, 8, len(mode))).astype(np.uint16)
    levels[..., 3:] = 2**bits - 1
    strip = levels.astype(f"{order}u2").tobytes()
    strip = zlib.compress(strip) if packed else strip
    head, kinds = (b"II*\0" if order == "<" else b"MM\0*"), {3: "H", 4: "I"}
    fields = [
        (256, 3, 8),
        (257, 3, 8),
        (258, 4, 0),
        (259, 3, 8 if packed else 1),
        (262, 3, 2),
        (273, 4, 0),
        (277, 3, len(mode)),
    ]
    fields += [(278, 3, 8), (279, 4, len(strip))] + [(338, 3, 2)] * (mode == "RGBA")
    start = 8 + 2 + 12 * len(fields) + 4
    ifd = struct.pack(f"{order}H", len(fields))
    for tag, kind, value in fields:
        if tag == 258:  # bits of each channel, which lie behind
            ifd += struct.pack(f"{order}HHII", tag, 3, len(mode), start)
            continue
        place = start + 2 * len(mode) if tag == 273 else value
        ifd += struct.pack(f"{order}HHI", tag, kind, 1) + struct.pack(f"{order}{kinds[kind]}", place).ljust(
            4, b"\0"
        )
    behind = struct.pack(f"{order}{len(mode)}H", *[16] * len(mode)) + strip
    data = head + struct.pack(f"{order}I", 8) + ifd + bytes(4) + behind
    fitted = fit(open_image(data), Into(square(8), bits=bits))
    expected = np.round(levels[..., :3] / (2**bits - 1) * 255)
    assert np.abs(fitted.pixels - expected).max() <= (1 if bits == 16 else 0)
    assert fitted.span is not None
    assert [each >> 8 for each in fitted.span] == [levels[..., :3].min() >> 8, levels[..., :3].max() >> 8]
    assert not fitted.transparent
