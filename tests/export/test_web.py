"""`gantool export --web`: the file that it writes, and where ONNX Runtime for browsers comes from."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Run, run_gantool
from gantool.export.packaging.web_runtime import NAME, SCRIPT, VERSION, WASM, find_runtime
from gantool.runtime.directions import Directions
from gantool.runtime.errors import GantoolError, UsageError
from helpers.generator_page import npm_package

GOLDEN = Path(__file__).parents[2] / "export/doctor/golden"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def package() -> Path:
    return npm_package()


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(package) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave a test without npm, network and cache; return the folder of the cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", NOWHERE)
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def registry(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve npm's package as npm's registry does."""
    served = tmp_path / "registry"
    (served / NAME / "-").mkdir(parents=True)
    os.link(package, served / NAME / "-" / package.name)
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{server.server_port}/")
    yield served / NAME / "-" / package.name
    server.shutdown()
    server.server_close()


def known(html: Path) -> dict[str, Any]:
    """Return what the page knows of its generator."""
    match = re.search(r'id="info">(.*?)</script>', html.read_text(encoding="utf-8"))
    assert match is not None
    found: dict[str, Any] = json.loads(match[1])
    return found


def web(source: Path, package: Path, cwd: Path, *flags: str | Path) -> Run:
    run = ("export", source, "--web", "--web-runtime", package, "--engine", "none", *flags)
    return run_gantool(*run, cwd=cwd)


def test_the_graph_inside_is_the_one_that_the_flags_made(
    exported: Path, package: Path, tmp_path: Path
) -> None:
    shutil.copy(exported / "g.onnx", tmp_path)
    result = web(Path("g.onnx"), package, tmp_path, "--fp16", "-o", "page/g")
    assert result.returncode == 0, result.stderr
    assert "page/g.html" in result.stdout
    assert "python3 -m webbrowser page/g.html" in result.stdout
    found = known(tmp_path / "page/g.html")
    assert (found["name"], found["file"], found["classes"]) == ("g", "g.fp16.onnx", None)
    assert found["hash"] == sha256((tmp_path / "page/g.fp16.onnx").read_bytes()).hexdigest()
    again = web(Path("g.onnx"), package, tmp_path)
    assert again.returncode == 0, again.stderr
    assert known(tmp_path / "g.html")["file"] == "g.onnx"


def test_bf16_is_not_for_browsers(checkpoint: Path, package: Path, tmp_path: Path) -> None:
    result = web(checkpoint, package, tmp_path, "--bf16", "-o", "g")
    assert result.returncode == 0, result.stderr
    assert "no browser computes in BF16: g.html gets g.onnx" in result.stderr
    assert known(tmp_path / "g.html")["file"] == "g.onnx"
    result = web(Path("g.bf16.onnx"), package, tmp_path)
    assert result.returncode == 2
    assert "g.bf16.onnx is in BF16: give the FP32 graph" in result.stderr


def test_a_bundle_becomes_a_page_with_its_classes(package: Path, tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "conditional.tar", tmp_path)
    result = web(Path("conditional.tar"), package, tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(known(tmp_path / "conditional.html")["classes"]) > 1


def test_directions(exported: Path, package: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "g.onnx", tmp_path)
    vectors = np.eye(2, 100, dtype=np.float32)
    Directions(("0", "smile"), vectors, np.ones(2, np.float32)).save(tmp_path / "d.npz")
    Directions(("0",), vectors[:1, :5], np.ones(1, np.float32)).save(tmp_path / "other.npz")
    assert web(Path("g.onnx"), package, tmp_path, "--directions", "d.npz").returncode == 0
    found = known(tmp_path / "g.html")["directions"]
    assert [each["name"] for each in found] == ["0", "smile"]
    assert np.array_equal([each["vector"] for each in found], vectors)
    (tmp_path / "g.html").unlink()
    for file, code, says in (
        ("other.npz", 2, "its vectors have 5 numbers, z of this engine has 100"),
        ("none.npz", 1, "there is no none.npz: make it with gantool directions"),
    ):
        result = web(Path("g.onnx"), package, tmp_path, "--directions", file)
        assert (result.returncode, says in result.stderr) == (code, True), result.stderr
        assert not (tmp_path / "g.html").exists()


def test_flags_that_need_the_page(exported: Path, tmp_path: Path) -> None:
    for flag in ("--directions", "--web-runtime"):
        result = run_gantool("export", exported / "g.onnx", flag, "d.npz", cwd=tmp_path)
        assert (result.returncode, f"{flag} is for the page of --web: add it" in result.stderr) == (2, True)


def test_a_full_disk_leaves_nothing(
    exported: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(exported / "g.onnx", tmp_path)
    before = Path.write_text

    def full(path: Path, *arguments: Any, **options: Any) -> int:
        if path.suffix == ".html":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return before(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    result = web(Path("g.onnx"), package, tmp_path)
    assert (result.returncode, "No space left on device" in result.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["g.onnx"]


def test_a_package_or_a_folder_that_is_named(package: Path, unpacked: Path, alone: Path) -> None:
    runtime = find_runtime(package)
    assert runtime.version == VERSION
    for folder in (unpacked, unpacked / "dist", unpacked.parent):
        assert find_runtime(folder) == runtime
    assert not alone.exists()  # nothing was fetched, nothing kept


def test_what_is_named_is_checked(package: Path, unpacked: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tgz"
    damaged.write_bytes(package.read_bytes()[:-1])
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(unpacked / "dist" / SCRIPT, other)
    (other / WASM).write_bytes(bytes(5))
    for path, says in (
        (tmp_path / "none.tgz", "there is no"),
        (damaged, "its SHA-512 is"),
        (other, f"the SHA-256 of {WASM} is"),
        (tmp_path, f"there is no {tmp_path / SCRIPT}"),
    ):
        with pytest.raises(UsageError) as caught:
            find_runtime(path)
        assert says in str(caught.value)
        assert f"expected {NAME} {VERSION} from npm" in str(caught.value)


def test_without_network(alone: Path) -> None:
    with pytest.raises(GantoolError) as caught:
        find_runtime()
    message = str(caught.value)
    assert f"{NAME} {VERSION} cannot be fetched ({NOWHERE}/{NAME}" in message
    assert f"run npm pack {NAME}@{VERSION}, and give the file with `web_runtime` here" in message
    assert not alone.exists()


def test_over_https_once(alone: Path, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = find_runtime()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", NOWHERE)
    assert find_runtime() == runtime  # from the cache
    (kept,) = alone.rglob(WASM)
    kept.write_bytes(bytes(5))
    with pytest.raises(GantoolError, match="cannot be fetched"):  # damaged: it is fetched again
        find_runtime()
    assert registry.exists()


def test_another_package_of_the_registry(alone: Path, registry: Path) -> None:
    registry.unlink()
    registry.write_bytes(b"another package")
    with pytest.raises(GantoolError, match="its SHA-512 is"):
        find_runtime()
    assert not alone.exists()


def test_npm_comes_first(alone: Path, package: Path, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\n[ "$2" = {NAME}@{VERSION} ] && exec /bin/ln "{package}" .\n')
    npm.chmod(0o755)
    assert find_runtime().version == VERSION
    npm.write_text("#!/bin/sh\necho npm error network >&2\nexit 1\n")
    shutil.rmtree(alone)
    with pytest.raises(GantoolError, match=f"npm pack: npm error network; {NOWHERE}"):
        find_runtime()


def test_a_cache_that_cannot_be_written(
    alone: Path, registry: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone.write_bytes(b"a file")
    assert find_runtime().version == VERSION
    assert f"{NAME} was not kept in the cache" in caplog.text
    assert registry.exists()
