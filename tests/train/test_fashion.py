"""Fashion-MNIST: where it is looked for, what is believed of an IDX file, and the download."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from gantool.models.config import square
from gantool.runtime.errors import GantoolError
from gantool.train.data import fashion_mnist as fashion
from gantool.train.data.dataset import load_images
from helpers.logs import logged

IMAGES = np.random.RandomState(0).randint(0, 256, (20, 8, 8), np.uint8)
NOWHERE = "http://127.0.0.1:9/nothing.gz"  # the discard port: refused at once


def idx(images: np.ndarray = IMAGES, magic: int = 0x803) -> bytes:
    return struct.pack(">4I", magic, *images.shape) + images.tobytes()


@pytest.fixture(autouse=True)
def _nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the data set and without a network."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GANTOOL_DATA", raising=False)
    monkeypatch.setattr(fashion, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(fashion, "URLS", (NOWHERE,))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("GANTOOL_DATA", str(folder))
    return folder


@pytest.mark.parametrize("place", ["", "fashion-mnist"])
@pytest.mark.parametrize("packed", [False, True])
def test_own_folder(own: Path, place: str, packed: bool) -> None:
    (own / place).mkdir(exist_ok=True)
    name, data = (f"{fashion.FILE}.gz", gzip.compress(idx())) if packed else (fashion.FILE, idx())
    (own / place / name).write_bytes(data)
    loaded = load_images("fashion-mnist", square(8))
    assert loaded.name == "fashion-mnist"
    assert loaded.skipped == ()
    assert np.array_equal(loaded.images[..., 0], IMAGES)
    assert load_images("fashion-mnist", square(32), 3).images.shape == (20, 32, 32, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends after 0 bytes"),
        (idx(magic=0x801), "0x00000801 where 0x00000803"),
        (idx()[:-1], "20 x 8 x 8 pixels, but 1279 bytes follow"),
        (idx() + b"x", "more bytes follow"),
        (struct.pack(">4I", 0x803, 2**32 - 1, 2**16, 2**16), "its header claims 4294967295"),
    ],
)
def test_an_idx_file_is_not_believed(own: Path, data: bytes, reason: str) -> None:
    (own / fashion.FILE).write_bytes(data)
    with pytest.raises(GantoolError, match=reason):
        load_images("fashion-mnist", square(8))


@pytest.mark.parametrize("data", [idx(), gzip.compress(idx())[:-20]])
def test_a_broken_gzip(own: Path, data: bytes) -> None:
    (own / f"{fashion.FILE}.gz").write_bytes(data)
    with pytest.raises(GantoolError, match="is not an IDX file of images"):
        load_images("fashion-mnist", square(8))


def test_only_the_own_folder_may_hold_other_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / fashion.FILE).write_bytes(idx())
    with pytest.raises(GantoolError, match="is not Fashion-MNIST: SHA-256"):
        load_images("fashion-mnist", square(8))
    monkeypatch.setattr(fashion, "SHA256", hashlib.sha256(idx()).hexdigest())
    assert len(load_images("fashion-mnist", square(8)).images) == 20


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, own: Path) -> None:
    with pytest.raises(GantoolError) as caught:
        load_images("fashion-mnist", square(8))
    text = str(caught.value)
    for place in (own, own / "fashion-mnist", tmp_path / "system", tmp_path / "cache" / "fashion-mnist"):
        assert str(place) in text
    for way_out in ("apt-get install dataset-fashion-mnist", "GANTOOL_DATA", "--data FOLDER", NOWHERE):
        assert way_out in text


def test_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror.gz"
    mirror.write_bytes(gzip.compress(idx()))
    monkeypatch.setattr(fashion, "URLS", (NOWHERE, mirror.as_uri()))
    monkeypatch.setattr(fashion, "SHA256", hashlib.sha256(idx()).hexdigest())
    with logged() as lines:
        assert np.array_equal(load_images("fashion-mnist", square(8)).images[..., 0], IMAGES)
    assert f"downloading {mirror.as_uri()}" in lines
    mirror.unlink()  # now it is in the cache
    assert len(load_images("fashion-mnist", square(16)).images) == 20


@pytest.mark.parametrize("data", [gzip.compress(idx()), gzip.compress(idx())[:-20], b"<html>", b""])
def test_a_wrong_download_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    mirror = tmp_path / "mirror.gz"
    mirror.write_bytes(data)
    monkeypatch.setattr(fashion, "URLS", (mirror.as_uri(),))
    with pytest.raises(GantoolError, match="no download worked"):
        load_images("fashion-mnist", square(8))
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
