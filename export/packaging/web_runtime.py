"""ONNX Runtime for browsers, npm's package onnxruntime-web: found on this machine, or fetched, and always checked.

Search, in this order: what the user names, the cache, `npm pack` where npm is, HTTPS to npm's registry.
"""

from __future__ import annotations

import base64
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from hashlib import sha256, sha512
from pathlib import Path

from gantool.runtime.cache import cache_dir
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.files import atomic
from gantool.runtime.progress import task
from gantool.runtime.web.page import WebRuntime

_log = logging.getLogger(__name__)

NAME, VERSION = "onnxruntime-web", "1.30.0"
# of the package, as `npm view onnxruntime-web@1.30.0 dist.integrity` prints it
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# of the two files of it that the page holds
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
REGISTRY = "https://registry.npmjs.org"  # npm's default
_TIMEOUT_SECONDS = 30
_NPM_SECONDS = 600
_MAX_BYTES = 256 << 20  # of the package, which has 33 MB
_ADVICE = (
    f"on a machine with a network, run npm pack {NAME}@{VERSION}, and give the file with `web_runtime` here"
)


def find_runtime(named: Path | None = None) -> WebRuntime:
    """Return ONNX Runtime for browsers from `named`, npm's .tgz or a folder, else from the cache or npm.

    Raises UsageError if `named` is not there or not this version, and GantoolError if it cannot be fetched.
    """
    if named is not None:
        return _named(named)
    kept = cache_dir() / "web" / f"{NAME}-{VERSION}"
    if all((kept / name).is_file() for name in SHA256):
        try:
            return _runtime(_files_in(kept))
        except ValueError as error:
            _log.warning(f"{kept} is damaged ({error}): fetching it again")
    with task(f"fetching {NAME} {VERSION}"):
        files = _fetched()
    try:
        for name, data in files.items():
            with atomic(kept / name) as part:
                part.write_bytes(data)
    except OSError as error:  # the next export fetches it again
        _log.warning(f"{NAME} was not kept in the cache: {error}")
    return _runtime(files)


def _named(path: Path) -> WebRuntime:
    expected = f"expected {NAME} {VERSION} from npm: its .tgz, or a folder with {SCRIPT} and {WASM}"
    try:
        if path.is_dir():
            return _runtime(_files_in(path))
        return _runtime(_unpacked(path))
    except FileNotFoundError as error:
        raise UsageError(f"`web_runtime` {path}: there is no {error.filename or path}; {expected}") from error
    except ValueError as error:
        raise UsageError(f"`web_runtime` {path}: {error}; {expected}") from error


def _files_in(folder: Path) -> dict[str, bytes]:
    """Read the two files from a folder: an unpacked package, its dist/, or any folder that holds them."""
    places = (folder, folder / "dist", folder / "package" / "dist", folder / "node_modules" / NAME / "dist")
    place = next((place for place in places if (place / SCRIPT).is_file()), folder)
    return {name: (place / name).read_bytes() for name in SHA256}


def _unpacked(package: Path) -> dict[str, bytes]:
    """Read the two files from npm's .tgz. Raises ValueError for any other file."""
    if package.stat().st_size > _MAX_BYTES:
        raise ValueError(f"it has {package.stat().st_size:,} bytes")
    digest = base64.b64encode(sha512(package.read_bytes()).digest()).decode("ascii")
    if digest != INTEGRITY:
        raise ValueError(f"its SHA-512 is {digest[:12]}…, not {INTEGRITY[:12]}…")
    try:
        with tarfile.open(package) as archive:
            members = {name: archive.extractfile(f"package/dist/{name}") for name in SHA256}
            return {name: member.read() for name, member in members.items() if member}
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        raise ValueError(f"it cannot be unpacked ({error})") from error


def _runtime(files: dict[str, bytes]) -> WebRuntime:
    """Raises ValueError for files of another version, or damaged ones."""
    for name, expected in SHA256.items():
        if (digest := sha256(files[name]).hexdigest()) != expected:
            raise ValueError(f"the SHA-256 of {name} is {digest[:12]}…, not {expected[:12]}…")
    return WebRuntime(VERSION, files[SCRIPT], files[WASM])


def _fetched() -> dict[str, bytes]:
    """Fetch the package. Raises GantoolError, with the reason of each way that failed."""
    import http.client  # here: with urllib, it takes a quarter of the start-up time of a command

    ways: list[Callable[[Path], Path]] = [_by_npm] if shutil.which("npm") else []
    failures = []
    for way in (*ways, _by_https):
        with tempfile.TemporaryDirectory(prefix="gantool-") as folder:
            try:
                return _unpacked(way(Path(folder)))
            except (OSError, ValueError, http.client.HTTPException, subprocess.SubprocessError) as error:
                _log.debug("%s: %s", way.__name__, error)
                failures.append(str(error))
    raise GantoolError(f"{NAME} {VERSION} cannot be fetched ({'; '.join(failures)}): {_ADVICE}")


def _by_npm(folder: Path) -> Path:
    """Fetch the package as npm is set up here: registry, proxy, certificates."""
    npm = shutil.which("npm")
    assert npm is not None
    command = [npm, "pack", f"{NAME}@{VERSION}", "--loglevel=error", "--fetch-retries=1"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False
    )
    found = next(folder.glob("*.tgz"), None)
    if done.returncode or found is None:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ValueError(f"npm pack: {lines[0] if lines else f'exit code {done.returncode}'}")
    return found


def _by_https(folder: Path) -> Path:
    import urllib.request

    registry = os.environ.get("NPM_CONFIG_REGISTRY") or REGISTRY
    address = f"{registry.rstrip('/')}/{NAME}/-/{NAME}-{VERSION}.tgz"
    if not address.startswith(("https://", "http://")):
        raise ValueError(f"the registry {registry} is not an address of HTTPS")
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:
            data = answer.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{address}: {error}") from error
    package = folder / "package.tgz"
    package.write_bytes(data)
    return package
