"""examples/serve: the clients get from a server what the engine makes."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantool.runtime.generator import Generator
from helpers.examples import ran
from helpers.serving import graph_of, serving

pytest.importorskip("starlette")


def pixels(path: Path) -> object:
    with Image.open(path) as image:
        return np.asarray(image).tolist()


def test_the_client_in_python_and_curl_fetch_images(tmp_path: Path) -> None:
    graph, curled = graph_of("fp32", tmp_path), tmp_path / "curl"
    curled.mkdir()
    with Generator.load(graph) as generator:
        one, mix = generator.images([5, "5+9"]).tolist()
        less = generator.images(["5+9"], truncation=0.7).tolist()[0]
        many = generator.images(range(100)).tolist()
        typical = generator.images(range(100), truncation=0.8)
    with serving(graph, token="secret") as served:
        address = f"http://127.0.0.1:{served.port}"
        refused = ran("serve/client.py", address, cwd=tmp_path, check=False)
        ran("serve/client.py", address, cwd=tmp_path, GANTOOL_TOKEN="secret")
        if shutil.which("curl"):
            ran("serve/curl.sh", address, cwd=curled, GANTOOL_TOKEN="secret")
    assert refused.returncode == 1
    assert "401" in refused.stderr
    assert pixels(tmp_path / "seed0005.png") == one
    assert pixels(tmp_path / "mix.png") == less
    assert [pixels(path) for path in sorted((tmp_path / "fetched").glob("*.png"))] == many
    if shutil.which("curl"):
        assert pixels(curled / "seed5.png") == one
        assert pixels(curled / "mix.png") == mix
        assert np.array_equal(np.load(curled / "images.npy"), typical)
        with tarfile.open(curled / "images.tar") as tar:
            assert sum(name.endswith(".png") for name in tar.getnames()) == 100
        with Image.open(curled / "morph.webp") as film:
            assert getattr(film, "n_frames", 1) > 3
        assert (curled / "stream.mjpg").read_bytes().count(b"image/jpeg") == 50
