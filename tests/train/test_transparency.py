"""Transparent images: kept where most have transparency, else laid on a background; augmentation leaves alpha."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gantool.models import NetworkConfig, Size, square
from gantool.models.alpha import premultiplied
from gantool.runtime.errors import GantoolError
from gantool.runtime.outputs.images import visible
from gantool.train import augment
from gantool.train.data.dataset import load_images
from gantool.train.data.decode import Fitted, Into, fit, open_image
from gantool.train.data.prepare import prepare, summary
from gantool.train.options import LaunchOptions, TrainingOptions, read_options
from gantool.train.preflight import dry_run
from gantool.train.requests import DataOptions
from helpers.logs import logged

KEPT = "are transparent in part: kept, 4 channels"


def disc(ground: tuple[int, int, int, int]) -> Image.Image:
    """Return a red disc on a ground, 64×64."""
    image = Image.new("RGBA", (64, 64), ground)
    ImageDraw.Draw(image).ellipse((8, 8, 55, 55), (255, 0, 0, 255))
    return image


def as_file(image: Image.Image, kind: str = "PNG", **options: Any) -> Fitted:
    """Save an image and read it again, 16×16 with four channels."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return fit(open_image(file.getvalue()), Into(square(16), 4))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of 12 images with transparency, 5 without, all different."""
    (tmp_path / "set").mkdir()
    for index in range(17):
        image = disc((0, 0, 255, 0) if index < 12 else (0, 0, 255, 255))
        image.paste((index * 8, 0, 0, 255), (24, 24, 40, 40))
        image.save(tmp_path / "set" / f"{index:02}.png")
    return tmp_path / "set"


def test_a_disc_gets_no_fringe_of_what_is_not_seen() -> None:
    """Resized, a red disc on transparent blue stays red up to its edge."""
    pixels = as_file(disc((0, 0, 255, 0))).pixels.astype(int)
    alpha = pixels[..., 3]
    assert alpha[0, 0] == 0
    assert ((alpha > 0) & (alpha < 255)).sum() > 10
    assert pixels[..., 1:3][alpha > 0].max() <= 3
    assert pixels[..., 0][alpha > 8].min() >= 250
    assert pixels[..., :3][alpha == 0].max() == 0


@pytest.mark.parametrize(
    ("convert", "kind", "options"),
    [
        (lambda image: image, "PNG", {}),
        (lambda image: image, "WEBP", {"lossless": True}),
        (lambda image: image, "TIFF", {}),
        (lambda image: image.convert("LA"), "PNG", {}),
        (lambda image: image.quantize(8), "PNG", {}),  # a palette with alpha
        (lambda image: flat(image, (0, 0, 255)).quantize(8), "GIF", {}),
        (lambda image: flat(image, (0, 0, 255)), "PNG", {"transparency": (0, 0, 255)}),  # tRNS
        (lambda image: flat(image, (0, 0, 255)).convert("L"), "PNG", {"transparency": 29}),
    ],
)
def test_transparency_of_every_kind_is_kept(
    convert: Callable[[Image.Image], Image.Image], kind: str, options: dict[str, Any]
) -> None:
    image = convert(disc((0, 0, 255, 0)))
    if kind == "GIF":
        options = {"transparency": image.getpixel((0, 0))}
    fitted = as_file(image, kind, **options)
    assert fitted.transparent
    assert fitted.pixels.shape == (16, 16, 4)
    assert fitted.pixels[0, 0].tolist() == [0, 0, 0, 0]
    assert fitted.pixels[8, 8, 3] == 255
    assert fitted.pixels[8, 8, 0] > 60


def flat(image: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    """Lay an image on a ground."""
    below = Image.new("RGB", image.size, ground)
    below.paste(image, mask=image.getchannel("A"))
    return below


def test_padding_is_transparent() -> None:
    pixels = fit(Image.new("RGB", (20, 10), "red"), Into(Size(8, 8), 4, fit="pad")).pixels
    assert pixels[0, 0].tolist() == [0, 0, 0, 0]
    assert pixels[4, 4].tolist() == [255, 0, 0, 255]


def test_what_is_blank_is_judged_by_what_is_seen() -> None:
    """A black glyph is not blank for its alpha; colours under no alpha do not count."""
    glyph = fit(disc((0, 0, 0, 0)).convert("LA"), Into(square(16), 4))
    assert not glyph.blank
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    noise[..., 3] = 0
    assert fit(Image.fromarray(noise), Into(square(16), 4)).blank


def test_transparency_stays_where_most_images_have_it(folder: Path) -> None:
    """From the files, and from the cache; fewer than half are laid on white."""
    for _ in range(2):
        with logged() as lines:
            images = load_images(str(folder), square(16)).images
        assert images.shape == (17, 16, 16, 4)
        assert [line for line in lines if KEPT in line] == [
            f"12 of 17 images {KEPT} (`background` lays them on a colour)"
        ]
    for name in range(4):
        (folder / f"{name:02}.png").unlink()
    for name in range(17, 22):
        disc((name, 255, 0, 255)).save(folder / f"{name}.png")
    with logged() as lines:
        images = load_images(str(folder), square(16)).images
    assert images.shape == (18, 16, 16, 3)
    assert any("8 of 18 images are transparent in part: blended with white" in line for line in lines)


def test_a_sample_that_deceives_is_corrected(tmp_path: Path) -> None:
    """Every other image of 128 is opaque, so a sample of 64 may see those alone; the set is counted whole."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for index in range(127):
            file = io.BytesIO()
            opaque = index % 2 == 0 and index != 64
            Image.new("RGBA", (8, 8), (index, 0, 0, 255 if opaque else 99)).save(file, "PNG")
            archive.writestr(f"{index:03}.png", file.getvalue())
    assert load_images(str(tmp_path / "set.zip"), square(8)).images.shape == (127, 8, 8, 4)


@pytest.mark.parametrize(
    ("channels", "background", "corner"),
    [
        (None, "#00ff00", [0, 255, 0]),
        (None, "white", [255, 255, 255]),
        (3, None, [255, 255, 255]),
        (4, None, [0, 0, 0, 0]),
        (4, "black", [0, 0, 0, 255]),
        (1, None, [255]),
    ],
)
def test_what_is_asked_for_wins(
    folder: Path, channels: int | None, background: str | None, corner: list[int]
) -> None:
    """Each has a cache of its own: none is taken for another."""
    load_images(str(folder), square(16))
    images = load_images(str(folder), square(16), channels, background).images
    assert images[0, 0, 0].tolist() == corner
    assert load_images(str(folder), square(16)).images.shape[3] == 4


def test_the_dry_run_and_the_clean_data_set_know_it_too(folder: Path, tmp_path: Path) -> None:
    options = TrainingOptions(NetworkConfig(), str(folder))
    assert dry_run(options, LaunchOptions(), ()).network.channels == 4
    assert dry_run(replace(options, background="white"), LaunchOptions(), ()).network.channels == 3

    made = prepare(DataOptions(str(folder), tmp_path / "d.zip", size=square(16)))
    assert made.channels == 4
    assert KEPT in summary(made)
    with Image.open(made.sheet) as sheet:
        assert sheet.mode == "RGB"
        assert {204, 255} <= {*np.asarray(sheet.crop((0, 0, 4, 4))).flatten().tolist()}
    assert np.array_equal(
        load_images(str(tmp_path / "d.zip"), square(16)).images, load_images(str(folder), square(16)).images
    )


def test_options_of_earlier_runs_keep_their_white(tmp_path: Path) -> None:
    path = tmp_path / "training_options.json"
    options = TrainingOptions(NetworkConfig(channels=3), "set")
    path.write_text(json.dumps({**options.to_json(), "background": "white"}))
    assert read_options(path).background == "white"
    path.write_text(json.dumps(options.to_json()))
    assert read_options(path) == options
    path.write_text(json.dumps({**options.to_json(), "background": "pink"}))
    with pytest.raises(GantoolError, match="background"):
        read_options(path)


def rgba(alpha: float) -> torch.Tensor:
    """Return premultiplied images of one alpha."""
    torch.manual_seed(0)
    images = torch.rand(8, 4, 16, 16) * 2 - 1
    images[:, 3] = alpha * 2 - 1
    return premultiplied(images)


@pytest.mark.parametrize("kind", ["diff", "ada"])
def test_augmentation_of_what_is_not_seen(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Transparent images stay transparent and black; opaque ones change in colour only, but for what moves."""
    monkeypatch.setattr(augment, "HOLE", 0)
    clear = augment.augment(rgba(0), kind, 1.0)
    torch.testing.assert_close(clear, torch.full_like(clear, -1))
    opaque = rgba(1)
    changed = augment.augment(opaque, kind, 1.0)
    assert {*changed[:, 3].flatten().tolist()} <= {-1.0, 1.0}
    assert (changed[:, :3] - opaque[:, :3]).abs().mean() > 0.1


def test_textures_move_in_a_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves at one edge comes back at the other; without tile it is lost."""
    monkeypatch.setattr(augment, "HOLE", 0)
    torch.manual_seed(0)
    images = premultiplied(torch.randint(0, 2, (16, 4, 24, 16)) * 2.0 - 1)

    def seen(images: torch.Tensor) -> list[float]:
        return ((images[:, 3] + 1) / 2).sum((1, 2)).tolist()

    assert seen(augment.augment(images, "diff", 1.0, tile=True)) == seen(images)
    assert sum(seen(augment.augment(images, "diff", 1.0))) < sum(seen(images))


def test_colours_of_half_transparent_pixels_change_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "HOLE", 0)
    monkeypatch.setattr(augment, "SHIFT", 0)
    torch.manual_seed(1)
    whole = augment.augment(rgba(1), "diff", 1.0) - rgba(1)
    torch.manual_seed(1)
    half = augment.augment(rgba(0.5), "diff", 1.0) - rgba(0.5)
    assert 0 < half[:, :3].abs().mean() < 0.6 * whole[:, :3].abs().mean()
    assert half[:, 3].abs().max() == 0


def test_visible_is_what_premultiplied_is() -> None:
    """In 8 bits, within rounding."""
    pixels: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 4), np.uint8)
    tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = (premultiplied(tensor).permute(0, 2, 3, 1) + 1) * 127.5
    assert np.abs(visible(pixels) - expected.numpy()).max() <= 0.51
