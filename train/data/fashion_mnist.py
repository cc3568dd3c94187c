"""Fashion-MNIST, the default data set: find it on this machine, or download it.

The training images are one IDX file: a header of four big-endian 32-bit numbers (magic 0x803, count, rows,
columns), then a byte per pixel. Their labels may be in a file beside it, with a header of two numbers (magic
0x801, count) and a byte per label; they are not downloaded. Source: Xiao, Rasul and Vollgraf, https://arxiv.org/abs/1708.07747
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import GantoolError
from gantool.runtime.files import atomic

NAME = "fashion-mnist"
FILE = "train-images-idx3-ubyte"
LABELS_FILE = "train-labels-idx1-ubyte"
CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
# The hash of the IDX file, not of the .gz: distributions compress it again.
SHA256 = "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
URLS = (
    f"https://fashion-mnist.s3.eu-central-1.amazonaws.com/{FILE}.gz",
    f"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/{FILE}.gz",
)

_TIMEOUT_SECONDS = 15
_MAX_DOWNLOAD_BYTES = 64 << 20  # the file has 26 MB
_MAX_IDX_BYTES = 1 << 30
_HEADER = struct.Struct(">4I")
_MAGIC = 0x803  # unsigned bytes, three dimensions
_LABELS_MAGIC = 0x801  # unsigned bytes, one dimension

_log = logging.getLogger(__name__)


def find_fashion_mnist() -> Path:
    """Return the file of training images. If it is not on this machine, download it into the cache.

    Search $GANTOOL_DATA (and fashion-mnist/ in it), the system's data sets and the cache. Raises GantoolError,
    which lists these places, if the file is in none of them and cannot be downloaded.
    """
    kept = cache_dir() / NAME
    folders = (*_own_folders(), SYSTEM_FOLDER, kept)
    for folder in folders:
        for path in (folder / FILE, folder / f"{FILE}.gz"):
            if path.is_file():
                return path
    target = kept / f"{FILE}.gz"
    import http.client  # here: with urllib, it takes a quarter of the start-up time of a command

    failures = []
    for url in URLS:
        _log.info("downloading %s", url)
        try:
            _download(url, target)
        except (OSError, http.client.HTTPException, EOFError, zlib.error, ValueError) as error:
            _log.info("  failed: %s", error)
            failures.append(f"{url}: {error}")
        else:
            return target
    raise GantoolError(
        f"Fashion-MNIST ({FILE}.gz) is in none of {', '.join(map(str, folders))}, and no download worked "
        f"({'; '.join(failures)}): apt-get install dataset-fashion-mnist, or set GANTOOL_DATA to a folder "
        "that holds the file, or train on your own images with gantool train --data FOLDER"
    )


def read_fashion_mnist(path: Path) -> NDArray[np.uint8]:
    """Read the file that `find_fashion_mnist` returned: uint8 [N, rows, columns].

    A file in $GANTOOL_DATA may have other images; anywhere else, its SHA-256 must be that of Fashion-MNIST. Raises
    GantoolError if it differs, or if the file is not a complete IDX file of images.
    """
    try:
        images, digest = _read_idx(path)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise GantoolError(
            f"{path} is not an IDX file of images: {error}; replace it with a whole one"
        ) from error
    if path.parent not in _own_folders() and digest != SHA256:
        raise GantoolError(
            f"{path} is not Fashion-MNIST: SHA-256 {digest} where {SHA256} is expected; remove it to have it "
            "downloaded again, or set GANTOOL_DATA to its folder to train on it as it is"
        )
    return images


def find_labels(images: Path) -> Path | None:
    """Return the file of labels in the folder of the images, or None."""
    paths = (images.with_name(LABELS_FILE), images.with_name(f"{LABELS_FILE}.gz"))
    return next((path for path in paths if path.is_file()), None)


def read_labels(path: Path, count: int) -> NDArray[np.int64]:
    """Read the labels of `count` images: int64 [count]. Raises GantoolError for any other file."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(count + 9)
    except (OSError, EOFError, zlib.error) as error:
        raise GantoolError(
            f"{path} is not an IDX file of labels: {error}; replace it or remove it"
        ) from error
    labels = np.frombuffer(content[8:], np.uint8).astype(np.int64)
    if content[:8] != struct.pack(">2I", _LABELS_MAGIC, count) or len(labels) != count or labels.max() > 9:
        raise GantoolError(
            f"{path} does not hold {count:,} labels of 0 to 9: replace it with the one that belongs to the images, "
            "or remove it"
        )
    return labels


def _own_folders() -> tuple[Path, ...]:
    own = os.environ.get("GANTOOL_DATA")
    return (Path(own), Path(own) / NAME) if own else ()


def _read_idx(path: Path) -> tuple[NDArray[np.uint8], str]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise ValueError(f"it ends after {len(header)} bytes")
        magic, count, rows, columns = _HEADER.unpack(header)
        if magic != _MAGIC:
            raise ValueError(f"it begins with 0x{magic:08x} where 0x{_MAGIC:08x} is expected")
        expected = count * rows * columns
        if not 0 < expected <= _MAX_IDX_BYTES:
            raise ValueError(f"its header claims {count} x {rows} x {columns} pixels")
        payload = file.read(expected + 1)
    if len(payload) != expected:
        found = f"{len(payload)} bytes follow" if len(payload) < expected else "more bytes follow"
        raise ValueError(f"its header claims {count} x {rows} x {columns} pixels, but {found}")
    digest = hashlib.sha256(header)
    digest.update(payload)
    # [N, rows, columns]
    return np.frombuffer(payload, np.uint8).reshape(count, rows, columns), digest.hexdigest()


def _download(url: str, target: Path) -> None:
    import urllib.request

    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
        data = answer.read(_MAX_DOWNLOAD_BYTES + 1)
    if len(data) > _MAX_DOWNLOAD_BYTES:
        raise ValueError(f"more than {_MAX_DOWNLOAD_BYTES:,} bytes")
    with atomic(target) as part:
        part.write_bytes(data)
        digest = _read_idx(part)[1]
        if digest != SHA256:
            raise ValueError(f"SHA-256 {digest} where {SHA256} is expected")
